"""Canaries: secrets that are sent through everything the service says, and must come out nowhere."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.argv import without_secrets
from streaming.settings_sources import secret_variables
from tests.certificates import Authority
from tests.docs import CONTRACT
from tests.service.conftest import SCRIPTED_WORKER, eventually
from tests.service.test_process import SERVE

CANARY = "canary-7f3a9c"


def environment(tmp_path: Path) -> dict[str, str]:
    """Every secret there is, each with a canary of its own, and what makes them be used."""
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("server", "localhost", "127.0.0.1", password=f"{CANARY}-service.tls_key_password")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK")}
    secrets = {variable: f"{CANARY}-{name}" for name, variable in secret_variables().items()}
    return (
        inherited
        | secrets
        | {
            "PENSTOCK_SERVICE__TLS_CERTFILE": str(pair.certfile),
            "PENSTOCK_SERVICE__TLS_KEYFILE": str(pair.keyfile),
            "PENSTOCK_SERVICE__LOG_LEVEL": "debug",
            "PENSTOCK_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "PENSTOCK_KAFKA__SASL_MECHANISM": "PLAIN",
            "PENSTOCK_KAFKA__SASL_USERNAME": "u",
            "PENSTOCK_KAFKA__SSL_CAFILE": str(authority.cafile),
            "PENSTOCK_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        }
    )


@contextmanager
def started(tmp_path: Path, arguments: list[str], variables: dict[str, str]) -> Iterator[tuple[int, str, Path]]:
    """A service's pid, its address, and the file that gets all it writes."""
    output = tmp_path / "output"
    with output.open("wb") as file, subprocess.Popen(arguments, env=variables, stdout=file, stderr=file) as one:
        try:
            yield one.pid, eventually(lambda: listening(output), 20), output
        finally:
            one.terminate()
            one.wait(20)


def listening(output: Path) -> str | None:
    events = [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]
    return next((event["url"] for event in events if event["event"] == "http_listening"), None)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_no_secret_in_logs_answers_metrics_processes_or_files(tmp_path: Path) -> None:
    code = SERVE.format(directory=str(tmp_path / "run"), worker=str(SCRIPTED_WORKER), lives="dies,well", grace_s=1)
    variables = environment(tmp_path)
    said: dict[str, str] = {}
    with started(tmp_path, [sys.executable, "-c", code], variables) as (pid, url, output):
        token = variables["PENSTOCK_SERVICE__TOKEN"]
        assert token.startswith(CANARY)
        http = httpx.Client(base_url=url, verify=False, timeout=10)
        status = eventually(
            lambda: (s := http.get("/v1/status").json())["worker"]["restarts"] and s["worker"]["pid"] and s, 20
        )
        workers = children(pid)
        assert status["worker"]["pid"] in workers
        for each in (pid, *workers):
            said[f"arguments of {each}"] = Path(f"/proc/{each}/cmdline").read_text()
        for each in workers:
            said[f"environment of {each}"] = Path(f"/proc/{each}/environ").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        assert http.post("/v1/checkpoints", headers=headers).status_code == 202
        for path, methods in json.loads(CONTRACT.read_text())["paths"].items():
            for method in methods:
                if path != "/v1/events" and "stop" not in path:
                    answer = http.request(method, path.replace("{id}", "e000001-s000000001"), headers=headers, json={})
                    said[f"{method} {path}"] = f"{answer.headers}\n{answer.text}"
        eventually(lambda: "log_end_error" in http.get("/v1/status").text)
        http.close()
    said["output"] = output.read_text()
    assert "worker_restarting" in said["output"]
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file():
            said[str(file)] = file.read_bytes().decode("latin-1")
    assert any(".service/operations.json" in name for name in said)
    assert len(said) > 30
    assert [name for name, text in said.items() if CANARY in text] == []


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["settings", "show"], {}),
        (["settings", "show", "--json"], {}),
        (["settings", "show", "--set", f"service.token={CANARY}"], {}),
        (["settings", "check"], {"PENSTOCK_SERVICE__TOKEN": f"{CANARY} with a space"}),
        (
            ["settings", "check"],
            {"PENSTOCK_KAFKA__SASL_PASSWORD": f"{CANARY}=", "PENSTOCK_KAFKA__READER": "tensorflow-io"},
        ),
        (["settings", "check", "--set", "kafka.sasl_username="], {}),
        (["serve", "--set", "service.tls_key_password=wrong"], {}),
        (["status", "--url", "http://127.0.0.1:1", "--token", f"{CANARY}\n"], {}),
        (["status", "--url", "http://127.0.0.1:1"], {"PENSTOCK_TOKEN": f"{CANARY} ü"}),
        (["version"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_no_secret_in_what_a_command_prints(tmp_path: Path, arguments: list[str], variables: dict[str, str]) -> None:
    command = [str(Path(sys.executable).parent / "penstock"), *arguments]
    done = subprocess.run(command, env=environment(tmp_path) | variables, capture_output=True, text=True, timeout=60)
    assert done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_a_secret_given_as_a_flag_leaves_the_process_list(tmp_path: Path) -> None:
    flags = ["service.token=" + CANARY, "service.port=0", f"checkpoint.directory={tmp_path / 'run'}"]
    flags.append("kafka.bootstrap_servers=127.0.0.1:1")
    arguments = [sys.executable, "-m", "service", *(part for flag in flags for part in ("--set", flag))]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK")}
    with started(tmp_path, arguments, plain) as (pid, url, _):
        shown = Path(f"/proc/{pid}/cmdline").read_text()
        assert "service.port=0" in shown
        assert CANARY not in shown
        assert httpx.post(f"{url}/v1/pause").status_code == 401
        authorised = {"Authorization": f"Bearer {CANARY}"}
        assert httpx.post(f"{url}/v1/pause", headers=authorised).status_code == 200
        rows = httpx.get(f"{url}/v1/settings", headers=authorised).json()["settings"]
        assert {row["name"]: row["source"] for row in rows}["service.token"] == "flag"


@pytest.mark.parametrize(
    ("given", "seen", "moved"),
    [
        (["serve", "--port", "1"], ["serve", "--port", "1"], {}),
        (["serve", "--set", "service.token=a=b"], ["serve"], {"PENSTOCK_SERVICE__TOKEN": "a=b"}),
        (["serve", "--set=kafka.sasl_password=x", "-h"], ["serve", "-h"], {"PENSTOCK_KAFKA__SASL_PASSWORD": "x"}),
        (["serve", "--set", "kafka.topic=t"], ["serve", "--set", "kafka.topic=t"], {}),
        (["pause", "--token", "x", "--json"], ["pause", "--json"], {"PENSTOCK_TOKEN": "x"}),
        (["pause", "--token=x"], ["pause"], {"PENSTOCK_TOKEN": "x"}),
        (["pause", "--token"], ["pause", "--token"], {}),
    ],
)
def test_which_arguments_hold_secrets(given: list[str], seen: list[str], moved: dict[str, str]) -> None:
    assert without_secrets(given) == (seen, moved)


def test_every_secret_setting_is_known_by_its_variable() -> None:
    assert set(secret_variables()) == {
        "kafka.sasl_password",
        "kafka.ssl_key_password",
        "service.token",
        "service.tls_key_password",
    }
