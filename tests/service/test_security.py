"""Who may do what over HTTP: the token, host names, ids that try to leave the folder."""

import json
import re
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from service.hosts import Hosts
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointError, SettingsError
from streaming.settings import ServiceSettings, parse_settings
from tests.docs import CONTRACT
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory, settings_for
from tests.service.test_http import assert_problem

SHOW_DATA = re.compile(r"^/v1/(samples|dead-letters|settings)(/|$)")
ROUTES = [
    (method.upper(), path) for path, methods in json.loads(CONTRACT.read_text())["paths"].items() for method in methods
]
GUARDED = [route for route in ROUTES if route[0] != "GET" or SHOW_DATA.match(route[1])]
OPEN = [route for route in ROUTES if route not in GUARDED and route != ("GET", "/v1/events")]  # which never ends
BAD_TOKENS: dict[str, dict[str, str | bytes]] = {
    "none": {},
    "wrong": {"Authorization": "Bearer wrong"},
    "cut": {"Authorization": "Bearer s3cre"},
    "longer": {"Authorization": "Bearer s3crett"},
    "empty": {"Authorization": "Bearer"},
    "other scheme": {"Authorization": "Basic s3cret"},
    "no text": {"Authorization": b"Bearer \xff\xfe"},
}


def ask(http: httpx.Client, route: tuple[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
    method, path = route
    body = None if method in ("GET", "DELETE") else {}
    return http.request(method, re.sub(r"\{\w+\}", "e000009-s000000009", path), headers=headers, json=body)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Sidecar:
    with Sidecar(settings_for(tmp_path_factory.mktemp("guarded") / "run", token="s3cret"), "well") as one:
        one.reach("training")
        yield one


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Sidecar:
    with Sidecar(settings_for(tmp_path_factory.mktemp("public") / "run", host="0.0.0.0"), "well") as one:
        one.reach("training")
        yield one


@pytest.mark.parametrize("token", BAD_TOKENS)
@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
def test_what_changes_something_or_shows_data_wants_the_token(
    guarded: Sidecar, route: tuple[str, str], token: str
) -> None:
    answer = ask(guarded.http, route, BAD_TOKENS[token])
    assert_problem(answer, HTTPStatus.UNAUTHORIZED, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
def test_without_a_token_nobody_but_this_machine_may(public: Sidecar, route: tuple[str, str]) -> None:
    answer = ask(public.http, route, {"Authorization": "Bearer guessed"})
    assert_problem(answer, HTTPStatus.FORBIDDEN, "read-only")
    assert "PENSTOCK_SERVICE__TOKEN" in answer.json()["detail"]


@pytest.mark.parametrize("route", OPEN, ids=" ".join)
def test_the_rest_may_be_read_by_all(guarded: Sidecar, public: Sidecar, route: tuple[str, str]) -> None:
    assert {ask(one.http, route).status_code for one in (guarded, public)}.isdisjoint({401, 403})


def test_guarded_routes_are_what_the_contract_says() -> None:
    paths = json.loads(CONTRACT.read_text())["paths"]
    told = {
        (method.upper(), path) for path in paths for method, route in paths[path].items() if "401" in route["responses"]
    }
    assert told == set(GUARDED)


@pytest.mark.parametrize("token", ["", " ", "two words", "s3c\tret", "ümlaut", "line\n"])
def test_a_token_that_no_header_carries_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(SettingsError, match=r"^service\.token: must be printable ASCII") as caught:
        parse_settings({"service": {"token": token}})
    assert token.strip() == "" or token.strip() not in str(caught.value)


LOOPBACK = {"localhost": True, "127.0.0.1:8080": True, "[::1]:80": True, "127.9.9.9": True, "LOCALHOST.": True}
ADDRESSES = {"10.1.2.3:8080": True, "[fe80::1]": True, "203.0.113.7": True}
NAMES = {"rebound.example.org": False, "localhost.example.org": False, "": False, "[": False, "127.0.0.1.nip.io": False}


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({}, LOOPBACK | dict.fromkeys(ADDRESSES, False) | NAMES),
        ({"host": "0.0.0.0"}, LOOPBACK | ADDRESSES | NAMES),
        ({"host": "::"}, LOOPBACK | ADDRESSES | NAMES),
        ({"allowed_hosts": "penstock.svc, Other.example"}, {"penstock.svc:80": True, "other.example": True} | NAMES),
        ({"host": "box.example"}, {"box.example:8080": True, "10.1.2.3": True} | NAMES),
        ({"allowed_hosts": "*"}, {"any.example": True, "": False}),
    ],
)
def test_names_that_were_made_to_point_here_are_not_ours(settings: dict[str, str], known: dict[str, bool]) -> None:
    hosts = Hosts(ServiceSettings.model_validate(settings))
    assert {header: hosts.known(header) for header in known} == known


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/v1/status", "/v1/checkpoints", "/nowhere"])
def test_a_foreign_host_name_gets_nothing(training: Sidecar, guarded: Sidecar, path: str) -> None:
    for one in (training, guarded):
        answer = one.http.get(path, headers={"Host": "rebound.example.org"})
        assert_problem(answer, HTTPStatus.FORBIDDEN, "foreign-host")
        assert "service.allowed_hosts" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/metrics"])
def test_probes_and_metrics_answer_any_host(guarded: Sidecar, path: str) -> None:
    assert guarded.http.get(path, headers={"Host": "pod.example.org"}).status_code == 200


ID = "e000001-s000000001"
BAD_IDS = [
    "..",
    "%2e%2e",
    f"..%2Fother%2F{ID}",
    f"..%5Cother%5C{ID}",
    f"%2e%2e%2fother%2f{ID}",
    f"{ID}%2F..%2F..%2Fother%2F{ID}",
    f"{ID}%00",
    f"{ID}%0A",
    f"{ID}.json",
    f"{ID}%20",
    ".service",
    ".trash-x",
    "%2Fetc%2Fpasswd",
    "e٠٠٠٠٠١-s٠٠٠٠٠٠٠٠١",  # digits to \d, not to us
    "x" * 5000,
]


def test_no_id_leaves_the_checkpoint_directory(sidecar: SidecarFactory, tmp_path: Path) -> None:
    ledger = ledger_with(trained=range(10))
    write(tmp_path / "run", ledger)
    write(tmp_path / "other", ledger)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "other" in path.parts}
    http = sidecar("well").http
    for bad in BAD_IDS:
        answers = [
            http.get(f"/v1/checkpoints/{bad}"),
            http.get(f"/v1/checkpoints/{bad}/records"),
            http.get(f"/v1/checkpoints/{bad}/diff", params={"to": ID}),
            http.get(f"/v1/checkpoints/{ID}/diff?to={bad}"),
            http.patch(f"/v1/checkpoints/{bad}", json={"label": "mine"}),
            http.post(f"/v1/checkpoints/{bad}/verify"),
            http.post(f"/v1/checkpoints/{bad}/restore", json={"dry_run": True}),
            http.post(f"/v1/checkpoints/{bad}/restore", json={"accept_loss": True}),
            http.delete(f"/v1/checkpoints/{bad}"),
            http.get(f"/v1/operations/{bad}"),
            http.post(f"/v1/problems/{bad}/resolve", json={"answer": "accept"}),
        ]
        assert {answer.status_code for answer in answers} <= {404, 405}, [bad, [one.status_code for one in answers]]
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "other" in path.parts}
    assert after == before
    assert not [path for path in tmp_path.iterdir() if path.name not in ("run", "other", "received")]


@pytest.mark.parametrize("bad", ["../other", "/etc", "", ".", "e000001-s000000001/../x", f"{ID}\n"])
def test_the_store_itself_takes_no_path_for_an_id(tmp_path: Path, bad: str) -> None:
    store = CheckpointStore(tmp_path)
    for use in (store.path, store.manifest, store.ledger, store.verify, store.delete):
        with pytest.raises(CheckpointError, match="no checkpoint's name"):
            use(bad)
