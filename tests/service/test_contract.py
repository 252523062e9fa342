"""Schemathesis over the whole API while training, paused and stopped: what each operation answers, as a table."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from service.operations import MOST_OPEN
from service.routes.metrics import KEPT_S
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE
from tests.line.line import nap
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, eventually, settings_for
from tests.streaming.checkpoints.disks import flip

COMMITTED = Path(__file__).parents[2] / "service" / "openapi.json"
TOKEN = "the-token-of-this-test"
STATES = {"training": None, "paused": "/v1/pause", "stopped": "/v1/stop"}
STEERING = "^/v1/(pause|resume|stop|start|new-run)$"  # they would change what the others are tested in
ENDLESS = "/v1/events"  # never answers to its end: tests/service/test_events.py
UNBOUND = {"ensure_resource_availability", "positive_data_acceptance"}
# The first takes an operation's id for a checkpoint's; the second knows nothing of what only a state allows.

# `not-now`, for the moment in which a service that ends answers already without taking anything in.
AT_THE_END = {("/v1/checkpoints/{id}/verify", 409), ("/v1/dead-letters/requeue", 409), ("/v1/new-run", 409)}

Answers = dict[tuple[str, str], Counter[int]]


def api(one: Sidecar) -> Any:
    return one.http.get("/openapi.json").json()


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items() if path != ENDLESS else ():
            yield method.upper(), path, operation


def fuzz(one: Sidecar, folder: Path, line: list[str], steering: bool) -> None:
    """Fails with Schemathesis' report."""
    config = folder / "schemathesis.toml"
    config.write_text(
        f"""
        [[operations]]
        include-path-regex = "^/v1/checkpoints/"
        exclude-method = "DELETE"
        parameters = {{ "path.id" = "{line[1]}", "query.to" = "{line[2]}" }}

        [[operations]]
        include-path-regex = "^/v1/checkpoints/"
        include-method = "DELETE"
        parameters = {{ "path.id" = "{line[0]}" }}

        [[operations]]
        include-path-regex = "^/v1/problems/"
        parameters = {{ "path.id" = "data-lost" }}
        """
    )
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    command += [f"{one.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--no-color"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--generation-database", "none"]
    command += ["--exclude-checks", ",".join(sorted(UNBOUND)), "--suppress-health-check", "all"]
    command += ["--include-path-regex" if steering else "--exclude-path-regex", STEERING, "--request-timeout", "10"]
    command += ["--exclude-path", ENDLESS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[done.stdout.find("FAILURES") :]


def answered(one: Sidecar) -> Answers:
    """As the service has counted them."""
    found: Answers = defaultdict(Counter)
    sample = r'http_request_duration_seconds_count\{method="(\w+)",route="([^"]+)",status="(\d+)"\} (\S+)'
    nap(KEPT_S)  # so long holds what was rendered before
    for method, route, status, count in re.findall(sample, one.http.get("/metrics").text):
        found[method, route][int(status)] += int(float(count))
    return found


def refused_in_any_case(one: Sidecar, line: list[str]) -> None:
    """No token, a wrong one, an unknown id, a body that is huge or no text."""
    one.http.delete(f"/v1/checkpoints/{line[2]}")  # a worker would restore it
    body = {"Content-Type": "application/json"}
    for method, path, _ in operations(api(one)):
        where = path.replace("{id}", line[1])
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
            one.http.request(method, where, headers=headers)
        for content in (b'"' + b"x" * (2 << 20) + b'"', b"\x80"):
            one.http.request(method, where, content=content, headers=body)
        one.http.request(method, path.replace("{id}", "nobody"), params={"to": "nobody"}, json={})


def refused_strangers(one: Sidecar, line: list[str]) -> None:
    """A service without a token, spoken to by a page from elsewhere."""
    for method, path, _ in operations(api(one)):
        one.http.request(method, path.replace("{id}", line[1]), headers={"Origin": "https://stranger.example"})


def refused_damaged(one: Sidecar, run: Path, line: list[str]) -> None:
    """The newest checkpoint's ledger is no ledger any more."""
    flip(run / line[2] / LEDGER_FILE)
    one.http.get(f"/v1/checkpoints/{line[2]}/records")
    one.http.get(f"/v1/checkpoints/{line[2]}/diff", params={"to": line[1]})
    one.http.post(f"/v1/checkpoints/{line[2]}/restore")
    one.operation(one.http.post(f"/v1/checkpoints/{line[2]}/verify"))
    one.http.post(f"/v1/checkpoints/{line[2]}/export")
    one.http.post(f"/v1/checkpoints/{line[2]}/adapt")


@contextmanager
def stuck(one: Sidecar, run: Path, line: list[str]) -> Iterator[None]:
    """A piece of work that doesn't come to its end inside."""
    model = run / line[0] / MODEL_FILE
    model.unlink()
    os.mkfifo(model)
    one.http.post(f"/v1/checkpoints/{line[0]}/verify")
    try:
        yield
    finally:
        with model.open("wb"):  # it goes on: the model isn't what its manifest says
            pass


def refused_unanswerable(one: Sidecar, _: Path, __: list[str]) -> None:
    """The worker has used up its restarts, which no answer mends."""
    one.http.post("/v1/problems/restart-budget-exhausted/resolve", json={"answer": "accept"})


def refused_for_a_crowd(one: Sidecar, run: Path, line: list[str]) -> None:
    """No worker comes, and more is asked for than may wait."""
    where = f"/v1/checkpoints/{line[1]}/restore"
    reachable = {"exclude": [stretch(1000)], "dry_run": True}
    eventually(lambda: one.http.post(where, json=reachable).status_code == HTTPStatus.OK)
    with stuck(one, run, line):
        for number in range(MOST_OPEN):
            one.http.post(where, json={"exclude": [stretch(1000 + number)]})
            one.http.post("/v1/checkpoints", json={"label": f"{number}"})
        for path in (
            f"/v1/checkpoints/{line[2]}/verify",
            f"/v1/checkpoints/{line[2]}/export",
            f"/v1/checkpoints/{line[2]}/adapt",
            where,
            "/v1/checkpoints",
        ):
            answer = one.http.post(path)
            assert (answer.status_code, "Retry-After" in answer.headers) == (HTTPStatus.TOO_MANY_REQUESTS, True), path
        one.http.post("/v1/dead-letters/requeue", json={"all": True})
        one.http.post("/v1/new-run")
        one.http.post("/v1/stop")
        eventually(lambda: one.status()["worker"]["pid"] is None)
        one.http.patch("/v1/offsets", json={"partitions": [{"partition": 0, "exclude": [[40, 41]]}]})


def stretch(start: int) -> dict[str, int]:
    return {"partition": 0, "start": start, "stop": 2000}


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[..., tuple[Sidecar, Path, list[str]]]]:
    """Starts a service over three checkpoints of its own."""
    with ExitStack() as stack:

        def begin(lives: str, **service: Any) -> tuple[Sidecar, Path, list[str]]:
            run = tmp_path / f"{lives}-{len(list(tmp_path.iterdir()))}" / "run"
            ledgers = [ledger_with(trained=range(stop), dead_lettered=[stop + 5]) for stop in (10, 20, 30)]
            line = write(run, *ledgers)
            one = stack.enter_context(Sidecar(settings_for(run, **service), lives, run.parent / "received"))
            one.watermarks.ends = {0: 5000}
            one.http.headers["Authorization"] = f"Bearer {TOKEN}"
            return one, run, line

        yield begin


@pytest.mark.timeout(600)
def test_each_operation_answers_as_documented_in_each_state(
    begun: Callable[..., tuple[Sidecar, Path, list[str]]],
) -> None:
    seen: Answers = defaultdict(Counter)
    for state, steer in STATES.items():
        one, run, line = begun("loses", token=TOKEN)
        one.reach("training")
        if steer is not None:
            one.http.post(steer)
        one.reach(state)
        fuzz(one, run.parent, line, steering=False)
        one.reach(state)  # an adaptation may just have ended the worker
        if state == "training":
            fuzz(one, run.parent, line, steering=True)
        add(seen, answered(one))
    for lives, refused in (
        ("well", lambda one, _, line: refused_in_any_case(one, line)),
        ("degraded", refused_damaged),
        ("dies", refused_unanswerable),
        ("starting", refused_for_a_crowd),
    ):
        one, run, line = begun(lives, token=TOKEN, grace_s=3, restart_budget=0)
        one.reach({"starting": "restoring", "dies": "failed"}.get(lives, "training"))
        refused(one, run, line)
        add(seen, answered(one))
    one, _, line = begun("well")
    refused_strangers(one, line)
    add(seen, answered(one))
    judge(api(one), seen)


def add(seen: Answers, more: Answers) -> None:
    for operation, statuses in more.items():
        seen[operation] += statuses


def judge(document: Any, seen: Answers) -> None:
    """Prints the table; fails for what never succeeded, failed as nothing may, or was documented and never seen."""
    wrong = []
    for method, path, operation in operations(document):
        statuses = seen[method, path]
        print(f"{method:6} {path:36} {dict(sorted(statuses.items()))}")
        documented = {int(status) for status in operation["responses"] if status.startswith("4")}
        never = {status for status in documented - set(statuses) if (path, status) not in AT_THE_END}
        wrong += [f"{method} {path} documents {status}, never seen" for status in sorted(never)]
        wrong += [f"{method} {path} answered {status}" for status in statuses if status >= 500 and status != 503]
        if not any(status in range(200, 300) for status in statuses):
            wrong.append(f"{method} {path} never succeeded")
    assert not wrong


def test_no_response_is_open_ended() -> None:
    """Each object of an answer names its properties; a map says what it maps to."""
    document = json.loads(COMMITTED.read_text())
    open_ended = [
        name
        for name, schema in document["components"]["schemas"].items()
        if schema.get("type") == "object" and not schema.get("properties") and not schema.get("additionalProperties")
    ]
    answers = [
        f"{method} {path} {status}"
        for method, path, operation in operations(document)
        for status, answer in operation["responses"].items()
        for content in answer.get("content", {}).values()
        if not content.get("schema")
    ]
    assert (open_ended, answers) == ([], [])
