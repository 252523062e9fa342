"""What a person answers to a problem, on a real topic: a lost stretch, another topic, too many bad records."""

import json
import signal
from typing import Any

import pytest

from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.line import Service, produce, record
from tests.line.stock_listing import ledger_of, records_of
from tests.line.test_exactly_once import listing
from tests.line.test_topic_life import problems
from tests.line.topics import recreate, remove_before

pytestmark = [pytest.mark.kafka, pytest.mark.tf, pytest.mark.slow]

NO_HOLD_OUT = {"evaluation.fraction": 0}


def answer(service: Service, problem: str, text: str) -> None:
    """Send an answer to a problem that the status offers it for."""
    (asked,) = [each for each in service.get("/v1/problems")["problems"] if each["type"] == problem]
    assert [each["answer"] for each in asked["answers"]] == [text]
    told = service.post(f"/v1/problems/{asked['id']}/resolve", answer=text)
    assert told.status_code == 200, told.text


def failed_with(service: Service, problem: str) -> Any:
    status = service.until(lambda status: status["state"] == "failed")
    assert problem in problems(status)
    return status


def manifest(service: Service, checkpoint: str) -> Any:
    return json.loads((service.checkpoints / checkpoint / "manifest.json").read_text())


def lose(service: Service, servers: str, topic: str, records: int, before: int) -> None:
    """Under a pause produce records and have what lies below `before` removed; then go on."""
    assert service.post("/v1/pause").status_code == 200
    service.until(lambda status: status["state"] == "paused")
    produce(servers, topic, [record(n) for n in range(records)])
    remove_before(servers, topic, before)
    assert service.post("/v1/resume").status_code == 200


def test_an_adopted_topic_is_trained_from_its_beginning_with_the_weights_there_were(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, letters, servers = topic(1), topic(1), kafka.bootstrap_servers
    produce(servers, name, [record(n) for n in range(80)])
    service = serve(name, {"kafka.dead_letter_topic": letters})
    service.settled(80)
    old = service.checkpoint()
    step = service.get(f"/v1/checkpoints/{old}")["step"]
    assert step >= 5

    recreate(servers, name, 2)
    values: list[bytes | None] = [record(n) for n in range(1000, 1200)]
    values[3], values[4] = b"nonsense", None
    produced = produce(servers, name, values, 2)
    failed = failed_with(service, "topic-recreated")
    assert failed["step"] == step

    # Under a pause, so that what was adopted can be looked at before anything is trained.
    assert service.post("/v1/pause").status_code == 200
    answer(service, "topic-recreated", "adopt")
    service.until(lambda status: status["state"] == "paused" and status["partitions"] == [])
    adopted = service.checkpoint()
    before, after = manifest(service, old), manifest(service, adopted)
    first = min(each["id"] for each in service.get("/v1/checkpoints")["checkpoints"] if each["id"] > old)
    assert manifest(service, first)["parent"] == old  # a periodic one may come before the one asked for
    assert (after["step"], after["decisions"]) == (step, before["decisions"] + 1)
    assert after["files"]["model.safetensors"] == before["files"]["model.safetensors"]
    assert after["generation"]["topic_id"] != before["generation"]["topic_id"]
    assert sum(after["records"].values()) == 0

    assert service.post("/v1/resume").status_code == 200
    status = service.settled(produced)
    assert status["step"] >= step + (produced - 60) // 8
    assert status["worker"]["restarts"] == 0  # the failed worker's successor came by the answer
    middle = service.checkpoint()
    service.kill_worker()
    produced += produce(servers, name, [record(n) for n in range(1200, 1260)], 2)
    after_kill = service.settled(produced)
    assert after_kill["worker"]["restarts"] == 1
    assert service.events("restored")[-1]["checkpoint"] == middle
    assert len(service.events("topic_adopted")) == 1
    assert after_kill["step"] > status["step"]
    assert problems(after_kill) == set()

    found = listing(service, servers, name, letters, service.checkpoint())
    assert found["records"] == produced
    assert found["in_topic_not_in_ledger"] == found["in_ledger_not_in_topic"] == found["of_two_kinds"] == []
    assert found["letters_without_entry"] == found["entries_without_letter"] == []
    assert (found["kinds"]["dead_lettered"], found["kinds"]["skipped"], found["kinds"]["lost"]) == (1, 1, 0)


def test_an_accepted_loss_is_no_problem_until_there_is_another(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produce(servers, name, [record(n) for n in range(40)])
    service = serve(name, NO_HOLD_OUT)
    service.settled(40)

    def detail(status: Any) -> Any:
        return [problem["detail"] for problem in status["problems"] if problem["type"] == "data-lost"]

    lose(service, servers, name, 60, before=75)
    assert detail(service.settled(100)) == ["retention removed 35 records before they were trained"]
    answer(service, "data-lost", "accept")
    service.until(lambda status: "data-lost" not in problems(status), deadline_s=15)
    assert service.post("/v1/problems/data-lost/resolve", answer="accept").status_code == 404
    lose(service, servers, name, 60, before=120)
    status = service.settled(160)
    assert detail(status) == ["retention removed 20 records before they were trained"]
    assert (status["worker"]["restarts"], len(service.events("worker_started"))) == (0, 1)

    # The other policy: what was booked before is told and stops nothing, the next loss does.
    assert service.signal(signal.SIGTERM) == 0
    strict = serve(name, NO_HOLD_OUT | {"kafka.on_data_loss": "stop"})
    again = strict.until(lambda status: status["state"] == "waiting")
    assert detail(again) == ["retention removed 20 records before they were trained"]
    lose(strict, servers, name, 50, before=190)
    failed = failed_with(strict, "data-lost")
    assert (failed["records"]["lost"], failed["partitions"][0]["position"]) == (55, 160)
    answer(strict, "data-lost", "accept")
    status = strict.settled(210)
    assert (status["records"]["lost"], status["records"]["trained"]) == (85, 125)
    assert problems(status) - {"retention-near"} == set()
    assert status["worker"]["restarts"] == 0
    lost = ledger_of(strict.url, strict.checkpoint())[0]["lost"]
    assert lost == [[40, 75], [100, 120], [160, 190]]


def test_mostly_bad_records_stop_every_worker_until_someone_says_go_on(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, letters, servers = topic(1), topic(1), kafka.bootstrap_servers
    service = serve(name, NO_HOLD_OUT | {"kafka.dead_letter_topic": letters})
    produce(servers, name, [record(n) for n in range(100)])
    service.settled(100)
    produce(servers, name, [b"nonsense"] * 100)  # half of the last 200 are bad, and more than half is too many
    assert service.settled(200)["records"]["dead_lettered"] == 100
    service.checkpoint()

    produce(servers, name, [b"nonsense"] * 8)
    first = failed_with(service, "records-mostly-bad")
    service.signal(signal.SIGTERM)
    service.start()
    second = failed_with(service, "records-mostly-bad")
    for status in (first, second):
        assert (status["records"]["dead_lettered"], status["partitions"][0]["position"]) == (100, 200)
    assert len(service.events("worker_started")) == 2
    assert len(records_of(servers, letters)) == 100

    answer(service, "records-mostly-bad", "continue")
    produce(servers, name, [record(n) for n in range(100, 120)])
    status = service.settled(228)
    assert (status["records"]["dead_lettered"], status["records"]["trained"]) == (108, 120)
    assert (status["worker"]["restarts"], problems(status)) == (0, set())
    assert {letter.offset for letter in records_of(servers, letters)} == set(range(108))
