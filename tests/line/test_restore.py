"""Going back to a checkpoint, and reading dead letters again, on a real topic."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.line import DEADLINE_S, Service, nap, produce, record
from tests.line.test_exactly_once import listing
from tests.line.test_line import counters

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

PARTITIONS = 2


def done(service: Service, answer: httpx.Response) -> Any:
    """The operation that a 202 names, once it has succeeded."""
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        operation = service.get(answer.headers["Location"])
        if operation["state"] == "succeeded":
            return operation
        assert operation["state"] in ("queued", "running"), operation
        nap()
    raise AssertionError(f"never done: {operation}")


def intervals(service: Service, checkpoint: str) -> Any:
    page = service.get(f"/v1/checkpoints/{checkpoint}/records?limit=10000")
    assert page["next"] is None
    return page["partitions"]


def test_after_a_rollback_and_a_kill_all_that_came_later_is_trained_again_once(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, letters, servers = topic(PARTITIONS), topic(1), kafka.bootstrap_servers
    service = serve(name, {"kafka.dead_letter_topic": letters, "kafka.range_records": 32})
    produced = produce(servers, name, [record(n) for n in range(200)], PARTITIONS)
    service.settled(produced)
    old = service.checkpoint()
    later: list[bytes | None] = [record(n) for n in range(200, 400)]
    later[10], later[20] = b"nonsense", None
    produced += produce(servers, name, later, PARTITIONS)
    before = service.settled(produced)
    at_old = sum(stop - start for part in intervals(service, old) for start, stop in part["trained"])

    told = service.post(f"/v1/checkpoints/{old}/restore", dry_run=True)
    assert told.status_code == 200, told.text
    assert told.json()["gone"] == 0
    new = done(service, service.post(f"/v1/checkpoints/{old}/restore"))["result"]["checkpoint_id"]
    fresh = service.until(lambda status: status["worker"]["started_at"] not in (None, before["worker"]["started_at"]))
    assert fresh["worker"]["pid"] == before["worker"]["pid"]
    os.kill(fresh["worker"]["pid"], signal.SIGKILL)
    assert intervals(service, new) == intervals(service, old)
    assert service.get(f"/v1/checkpoints/{new}")["parent"] == old

    after = service.settled(produced)
    assert after["worker"]["restarts"] == 1
    assert {event["checkpoint"] for event in service.events("restored")} == {new}
    assert after["records"]["trained"] == before["records"]["trained"]
    again = counters(service)["penstock_records_trained_total"] - before["records"]["trained"]
    assert again >= after["records"]["trained"] - at_old
    found = listing(service, servers, name, letters, service.checkpoint())
    assert found["records"] == produced
    assert found["in_topic_not_in_ledger"] == found["in_ledger_not_in_topic"] == found["of_two_kinds"] == []
    assert found["letters_without_entry"] == found["entries_without_letter"] == []
    assert (found["kinds"]["dead_lettered"], found["kinds"]["skipped"]) == (1, 1)


def test_mislabelled_records_are_taken_out_of_the_weights_for_good(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    service = serve(name, {"kafka.range_records": 32, "checkpoint.keep": 100})
    produced = produce(servers, name, [record(n) for n in range(100)])
    service.settled(produced)
    old = service.checkpoint()
    produced += produce(servers, name, [record(n) for n in range(100, 200)])
    before = service.settled(produced)
    assert before["records"]["trained"] + before["records"]["held_out"] == produced
    service.checkpoint()  # consequences are told as of the newest one
    mislabelled = [{"partition": 0, "start": 120, "stop": 160}]

    refused = service.post(f"/v1/checkpoints/{old}/restore", exclude=[{"partition": 0, "start": 90, "stop": 160}])
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:penstock:problem:already-trained")
    told = service.post(f"/v1/checkpoints/{old}/restore", exclude=mislabelled, dry_run=True).json()
    assert (told["again"], told["partitions"][0]["excluded"]) == (60, 40)
    new = done(service, service.post(f"/v1/checkpoints/{old}/restore", exclude=mislabelled))["result"]["checkpoint_id"]
    (lineage,) = intervals(service, new)
    assert (service.get(f"/v1/checkpoints/{new}")["parent"], lineage["excluded"]) == (old, [[120, 160]])
    service.until(lambda status: status["worker"]["started_at"] not in (None, before["worker"]["started_at"]))
    assert service.settled(produced)["worker"]["pid"] == before["worker"]["pid"]
    (partition,) = intervals(service, service.checkpoint())
    trained = sorted(partition["trained"] + partition["held_out"])
    assert (partition["excluded"], trained[0][0], trained[-1][1]) == ([[120, 160]], 0, produced)
    assert sum(stop - start for start, stop in trained) == produced - 40
    again = done(service, service.post(f"/v1/checkpoints/{old}/restore"))["result"]["checkpoint_id"]
    service.until(lambda _: len(service.events("restored")) == 2)
    assert service.settled(produced)["records"]["excluded"] == 40
    assert service.get(f"/v1/checkpoints/{again}")["parent"] == old


def test_dead_letters_are_trained_in_place_once_the_parser_is_mended(
    kafka: Broker, topic: TopicFactory, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = tmp_path / "mended"
    monkeypatch.setenv("MENDED", str(mended))
    name = topic(1)
    values = [json.dumps({"grey": 250 if n % 3 == 0 else n}).encode() for n in range(60)]
    produced = produce(kafka.bootstrap_servers, name, values)
    service = serve(name, {"records.parse": "mended:parse", "evaluation.fraction": 0})
    refused = service.settled(produced)
    assert (refused["records"]["trained"], refused["records"]["dead_lettered"]) == (40, 20)
    service.checkpoint()
    letters = service.get("/v1/dead-letters")
    assert letters["counts"] == {"too_bright_yet": 20}
    assert [letter["offset"] for letter in letters["dead_letters"][:3]] == [57, 54, 51]

    mended.touch()
    operation = done(service, service.post("/v1/dead-letters/requeue", reason="too_bright_yet"))
    assert (operation["result"]["records"], operation["result"]["gone"]) == (20, 0)
    trained = service.until(lambda status: status["records"]["trained"] == 60)
    assert trained["records"]["dead_lettered"] == 0
    assert trained["worker"]["restarts"] == 0
    (partition,) = intervals(service, service.checkpoint())
    assert partition["trained"] == [[0, 60]]
