import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from streaming.demo.sidecar import Sidecar, parse_status
from streaming.errors import PenstockError

T = TypeVar("T")
SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


def status(**changes: Any) -> dict[str, Any]:
    """An answer of GET /v1/status."""
    partition = {"topic": "t", "log_end": 10, "lag": 4, "position": 6}
    return {
        "state": "training",
        "degraded": None,
        "step": 7,
        "loss": 0.5,
        "records": {"fetched": 99, "trained": 5, "held_out": 2, "dead_lettered": 1, "skipped": 1},
        "rates": {"records_per_s": 12.5},
        "scores": [
            {"set": "prequential", "name": "mean_iou", "value": 0.1},
            {"set": "1", "name": "mean_iou", "value": 0.6},
            {"set": "1", "name": "iou", "class": "0", "value": 0.7},
        ],
        "problems": [],
        "partitions": [partition, partition],
        "worker": {"doing": ""},
    } | changes


def test_a_status_becomes_sums() -> None:
    snapshot = parse_status(status())
    assert (snapshot.settled, snapshot.lag, snapshot.log_end, snapshot.mean_iou) == (9, 8, 20, 0.6)


def test_a_log_end_that_one_partition_lacks_is_unknown() -> None:
    unknown = {"topic": "t", "log_end": None, "lag": None}
    snapshot = parse_status(status(partitions=[*status()["partitions"], unknown]))
    assert (snapshot.lag, snapshot.log_end) == (None, None)
    assert parse_status(status(partitions=[])).lag is None


def test_a_problem_is_told_in_its_words() -> None:
    degraded = {"since": "…", "reason": "kafka-unavailable", "detail": "connection refused"}
    assert parse_status(status(degraded=degraded)).problem == "connection refused"


def test_a_service_that_gave_up_is_an_error_with_its_reason(tmp_path: Path) -> None:
    body = status(state="failed", problems=[{"detail": "no such module"}])
    with pytest.raises(PenstockError, match=r"gave up \(no such module\), see .*service\.log"):
        _with(tmp_path, lambda _: httpx.Response(200, json=body), Sidecar.snapshot)


def test_a_service_that_is_not_up_yet_has_no_snapshot(tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert _with(tmp_path, refuse, Sidecar.snapshot) is None


def test_a_dead_service_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    dying = (sys.executable, "-c", "import sys; sys.exit('no such setting')")
    sidecar = Sidecar({}, 1, tmp_path / "service.log", command=dying, transport=httpx.MockTransport(_never))
    sidecar.start()
    assert sidecar._process is not None
    sidecar._process.wait(20)
    with pytest.raises(PenstockError, match=r"(?s)ended with code 1, see .*no such setting"):
        sidecar.snapshot()
    assert sidecar.stop() == 1


def test_a_checkpoint_is_waited_for(tmp_path: Path) -> None:
    states = iter(["queued", "running", "succeeded"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert json.loads(request.content) == {"label": "demo"}
            return httpx.Response(202, headers={"Location": "/v1/operations/7"}, json={"id": "7", "state": "queued"})
        assert request.url.path == "/v1/operations/7"
        return httpx.Response(200, json={"state": next(states), "result": {"checkpoint_id": "e1-s9"}})

    assert _with(tmp_path, answer, Sidecar.checkpoint) == "e1-s9"


@pytest.mark.parametrize(
    ("posted", "operation", "words"),
    [
        (httpx.Response(409, json={"detail": "stopped"}), {}, "answered 409.*stopped"),
        (
            httpx.Response(202, headers={"Location": "/v1/operations/7"}, json={}),
            {"state": "failed", "problem": {"detail": "disk full"}},
            "the checkpoint failed: disk full",
        ),
    ],
)
def test_a_checkpoint_that_fails_says_why(
    tmp_path: Path, posted: httpx.Response, operation: dict[str, Any], words: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return posted if request.method == "POST" else httpx.Response(200, json=operation)

    with pytest.raises(PenstockError, match=words):
        _with(tmp_path, answer, Sidecar.checkpoint)


def _with(directory: Path, answer: Callable[[httpx.Request], httpx.Response], ask: Callable[[Sidecar], T]) -> T:
    """What `ask` gets from a service that lives and answers so."""
    transport = httpx.MockTransport(answer)
    sidecar = Sidecar({}, 1, directory / "service.log", command=SLEEPER, transport=transport, grace_s=10)
    sidecar.start()
    try:
        return ask(sidecar)
    finally:
        sidecar.stop()


def _never(request: httpx.Request) -> httpx.Response:
    raise AssertionError("a dead service isn't asked")
