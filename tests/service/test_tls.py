"""HTTPS by setting: who is trusted, what can't be used, and certificates that are renewed while the service runs."""

import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service import remote
from service.tls import Certificate, certificate
from streaming.errors import SettingsError
from streaming.settings import ServiceSettings, parse_settings
from tests.certificates import Authority, Pair
from tests.service.conftest import Sidecar, SidecarFactory


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("server", "localhost", "127.0.0.1")


@pytest.fixture
def secured(sidecar: SidecarFactory, pair: Pair) -> Sidecar:
    one = sidecar("well", token="s3cret", **settings(pair))
    one.reach("training")
    return one


def settings(pair: Pair, **more: str) -> dict[str, Any]:
    return {"tls_certfile": str(pair.certfile), "tls_keyfile": str(pair.keyfile)} | more


def penstock(*arguments: str, **environment: str) -> tuple[int, str]:
    import typer

    app = typer.Typer()
    remote.add_to(app)
    answer = CliRunner().invoke(app, list(arguments), env=environment)
    return answer.exit_code, answer.output


def test_whoever_trusts_the_ca_is_answered_and_the_token_counts(secured: Sidecar, authority: Authority) -> None:
    assert secured.url.startswith("https://")
    trusting = ssl.create_default_context(cafile=authority.cafile)
    with httpx.Client(base_url=secured.url, verify=trusting) as http:
        assert http.get("/livez").status_code == 200
        assert http.post("/v1/pause").status_code == 401
        token = {"Authorization": "Bearer s3cret"}
        assert http.post("/v1/pause", headers=token | {"Origin": "https://example.org"}).status_code == 200


def test_others_and_plain_http_are_not(secured: Sidecar) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"{secured.url}/livez")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(secured.url.replace("https", "http") + "/livez")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(secured: Sidecar, authority: Authority, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    context.minimum_version = context.maximum_version = version
    assert httpx.get(f"{secured.url}/livez", verify=context).status_code == 200


def test_the_command_line_takes_a_ca(secured: Sidecar, authority: Authority, tmp_path: Path) -> None:
    url, ca = ("--url", secured.url), ("--cacert", str(authority.cafile))
    assert penstock("status", *url, *ca)[1].startswith("test: training")
    assert penstock("status", *url, PENSTOCK_CACERT=str(authority.cafile))[0] == 0
    assert penstock("pause", *url, *ca, PENSTOCK_TOKEN="s3cret")[0] == 0
    code, text = penstock("status", *url)
    assert (code, "certificate verify failed" in text) == (3, True)
    other = Authority(tmp_path / "other").cafile
    assert penstock("status", *url, "--cacert", str(other))[0] == 3
    code, text = penstock("status", *url, "--cacert", str(tmp_path / "absent.pem"))
    assert (code, "absent.pem: No such file" in text) == (2, True)
    code, text = penstock("status", *url, "--cacert", __file__)
    assert (code, "no PEM certificates" in text) == (2, True)


def test_every_command_that_talks_to_a_service_takes_url_token_and_ca() -> None:
    import typer

    app = typer.Typer()
    remote.add_to(app)

    def commands(group: Any, path: str = "") -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                found |= commands(command, f"{path}{name} ")
            else:
                found[path + name] = {option for parameter in command.params for option in parameter.opts}
        return found

    wanting = {
        name: {"--url", "--token", "--cacert"} - options
        for name, options in commands(typer.main.get_command(app)).items()
    }
    assert len(wanting) > 10
    assert not {name: missing for name, missing in wanting.items() if missing}


def refusal(pair: Pair, **more: str) -> str:
    with pytest.raises(SettingsError) as caught:
        certificate(ServiceSettings.model_validate(settings(pair, **more)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_can_not_be_used_are_one_sentence(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    other = authority.issue("other", "localhost")
    assert "service.tls_certfile" in refusal(Pair(pair.certfile, other.keyfile))
    text = tmp_path / "text"
    text.write_text("no PEM\n")
    assert str(text) in refusal(Pair(text, pair.keyfile))
    assert str(text) in refusal(Pair(pair.certfile, text))


def test_an_encrypted_key_wants_its_password_and_never_asks_for_it(authority: Authority) -> None:
    secret = authority.issue("secret", "localhost", password="pass phrase")
    began = time.monotonic()
    assert "tls_key_password" in refusal(secret)
    assert "wrong one" not in refusal(secret, tls_key_password="wrong one")
    assert time.monotonic() - began < 5
    assert certificate(ServiceSettings.model_validate(settings(secret, tls_key_password="pass phrase")))


def test_a_certificate_that_can_not_be_used_ends_serve_with_one_line(pair: Pair, tmp_path: Path) -> None:
    pair.keyfile.write_text("no PEM\n")
    flags = [f"service.{name}={value}" for name, value in settings(pair).items()]
    flags += ["service.port=0", f"checkpoint.directory={tmp_path / 'run'}"]
    arguments = [part for flag in flags for part in ("--set", flag)]
    done = subprocess.run([sys.executable, "-m", "service", *arguments], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("penstock: service.tls_certfile = ")


@pytest.mark.parametrize("alone", [{"tls_keyfile": __file__}, {"tls_key_password": "x"}])
def test_a_key_without_a_certificate_is_refused(alone: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^service: .* need tls_certfile"):
        parse_settings({"service": alone})


def serial(context: ssl.SSLContext, cafile: Path) -> int:
    """Of the certificate that a handshake shows."""
    ours, theirs = socket.socketpair()
    client = ssl.create_default_context(cafile=cafile)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    theirs.setblocking(False)
    ours.setblocking(False)
    talking = client.wrap_socket(ours, server_hostname="localhost", do_handshake_on_connect=False)
    for _ in range(10):
        for side in (talking, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
            if outgoing.pending:
                theirs.sendall(outgoing.read())
            with suppress(BlockingIOError):
                incoming.write(theirs.recv(1 << 16))
    shown = talking.getpeercert()
    talking.close()
    theirs.close()
    assert shown is not None
    return int(str(shown["serialNumber"]), 16)


def test_a_renewed_certificate_counts_without_a_restart_and_a_broken_one_does_not(authority: Authority) -> None:
    pair = authority.issue("server", "localhost")
    complaints: list[str] = []
    served = Certificate(pair.certfile, pair.keyfile, "")
    first = serial(served.context, authority.cafile)
    served.refresh(complaints.append)
    assert serial(served.context, authority.cafile) == first

    renewed = authority.issue("renewed", "localhost")
    replace(renewed.certfile, pair.certfile, 10)  # halfway: the key is still the old one
    served.refresh(complaints.append)
    assert serial(served.context, authority.cafile) == first
    assert len(complaints) == 1
    replace(renewed.keyfile, pair.keyfile, 10)
    served.refresh(complaints.append)
    assert serial(served.context, authority.cafile) != first

    pair.certfile.unlink()
    served.refresh(complaints.append)
    served.refresh(complaints.append)
    assert len(complaints) == 2


def replace(new: Path, old: Path, seconds_later: float) -> None:
    """As a renewal does, with a time of its own."""
    import os

    at = old.stat().st_mtime + seconds_later
    os.utime(new, (at, at))
    shutil.copy2(new, old)
