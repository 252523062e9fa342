"""A topic's life on a real broker: more partitions, open transactions, compaction, loss, a second life."""

import re
import signal
import time
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.line import Service, lag, nap, produce, record, settled
from tests.line.stock_listing import ledger_of, records_of
from tests.line.stock_tools import stock_lags
from tests.line.topics import recreate, remove_before, with_admin

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

NO_HOLD_OUT = {"evaluation.fraction": 0}


def own_lags(status: Any) -> dict[tuple[str, int], tuple[int, int, int]]:
    return {(p["topic"], p["partition"]): (p["position"], p["log_end"], p["lag"]) for p in status["partitions"]}


def metric(service: Service, name: str) -> float:
    text = service.exposition()
    found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def problems(status: Any) -> set[str]:
    return {problem["type"] for problem in status["problems"]}


def test_partitions_are_added_a_transaction_stays_open_and_stock_tools_agree(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produced = produce(servers, name, [record(n) for n in range(400)])
    service = serve(name, NO_HOLD_OUT | {"kafka.range_records": 16, "pipeline.shuffle_buffer": 16})

    service.until(lambda status: status["step"] >= 2)
    with_admin(servers, lambda admin: admin.create_partitions({name: 2}))
    produced += produce(servers, name, [record(n) for n in range(60)], 2)
    service.settled(produced)
    (added,) = service.events("partition_added")
    assert added["partition"] == 1

    # An open transaction holds what is behind it back; nothing of that is lag yet.
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", transactional_id=f"open-{name}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(name, record(1), partition=0).get(timeout=30)
    produce(servers, name, [record(n) for n in range(9)])
    produced += produce(servers, name, [record(n) for n in range(5)] * 2, 2) - 5  # five behind it, five beside it
    held = service.until(lambda status: settled(status) >= produced)
    assert (held["state"] in ("training", "waiting"), held["degraded"], lag(held)) == (True, None, 0)
    producer.commit_transaction()
    producer.close()
    produced += 1 + 9 + 5
    status = service.until(lambda status: status["records"]["trained"] >= produced and lag(status) == 0)
    assert status["records"]["trained"] == produced
    assert status["records"]["absent"] == 1  # the transaction's marker

    service.checkpoint()
    expected, group = own_lags(service.status()), f"penstock.{name}"
    deadline = time.monotonic() + 30
    while (stock := stock_lags(servers, group)) != expected and time.monotonic() < deadline:
        nap()
    assert stock == expected
    assert set(expected) == {(name, 0), (name, 1)}

    # Behind a stopped service the tools and the checkpoint still agree.
    assert service.signal(signal.SIGTERM) == 0
    produce(servers, name, [record(n) for n in range(6)], 2)
    stopped = stock_lags(servers, group)
    assert {place: numbers[2] for place, numbers in stopped.items()} == {(name, 0): 3, (name, 1): 3}


@pytest.mark.slow
def test_compaction_leaves_holes_and_every_survivor_is_trained_once(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    servers = kafka.bootstrap_servers
    name = topic(
        1, {"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01", "retention.ms": "1"}
    )
    for _ in range(3):
        produce(servers, name, [record(n) for n in range(30)])
        nap(0.3)
    produce(servers, name, [record(n) for n in range(9)] + [None])  # the tenth key's newest is a tombstone
    nap(0.3)
    produced = 101
    produce(servers, name, [record(0)])  # alone in the segment being written, which isn't compacted
    deadline = time.monotonic() + 90
    while len(survivors := records_of(servers, name)) != 31:
        assert time.monotonic() < deadline, f"{len(survivors)} of {produced} records are left"
        nap(0.5)

    service = serve(name, NO_HOLD_OUT)
    status = service.settled(produced)
    assert status["records"]["trained"] == 30
    assert status["records"]["skipped"] == 1
    assert status["records"]["absent"] == produced - 31
    kinds = ledger_of(service.url, service.checkpoint())[0]
    read = {offset for kind in ("trained", "skipped") for start, stop in kinds[kind] for offset in range(start, stop)}
    assert read == {survivor.offset for survivor in survivors}
    assert problems(status) == set()
    assert metric(service, "penstock_retention_headroom_seconds") == float("inf")


def test_what_retention_removed_under_a_pause_is_lost_and_told_or_stops_the_service(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, servers = topic(1, {"retention.ms": str(24 * 3600 * 1000)}), kafka.bootstrap_servers
    produce(servers, name, [record(n) for n in range(40)])
    service = serve(name, NO_HOLD_OUT)
    service.settled(40)
    assert service.post("/v1/pause").status_code == 200
    service.until(lambda status: status["state"] == "paused")
    produce(servers, name, [record(n) for n in range(60)])
    early = service.until(lambda status: (status["partitions"][0]["retention_headroom_seconds"] or 0) > 0)
    assert early["partitions"][0]["retention_headroom_seconds"] == pytest.approx(24 * 3600, abs=120)
    assert "retention-near" not in problems(early)

    remove_before(servers, name, 75)
    paused = service.until(lambda status: "retention-near" in problems(status), deadline_s=30)
    assert (paused["state"], paused["degraded"], paused["records"]["lost"]) == ("paused", None, 0)
    assert metric(service, "penstock_retention_headroom_seconds") == 0

    assert service.post("/v1/resume").status_code == 200
    status = service.settled(100)
    assert (status["records"]["lost"], status["records"]["trained"]) == (35, 65)
    assert status["degraded"] is None
    assert "data-lost" in problems(status)
    service.until(lambda status: "retention-near" not in problems(status), deadline_s=30)
    assert metric(service, "penstock_records_lost_total") == 35
    assert ledger_of(service.url, service.checkpoint())[0]["lost"] == [[40, 75]]

    # The other policy: the same, and it stops; the warning stays true while it has failed.
    assert service.signal(signal.SIGTERM) == 0
    produce(servers, name, [record(n) for n in range(30)])
    remove_before(servers, name, 110)
    strict = serve(name, NO_HOLD_OUT | {"kafka.on_data_loss": "stop"})
    failed = strict.until(lambda status: status["state"] == "failed")
    assert "data-lost" in problems(failed)
    assert failed["records"]["lost"] == 35
    assert failed["partitions"][0]["position"] == 100
    strict.until(lambda status: "retention-near" in problems(status), deadline_s=30)


@pytest.mark.slow
def test_records_removed_while_they_are_read_are_lost_and_nothing_hangs(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produced = produce(servers, name, [record(n % 300) for n in range(3000)])
    service = serve(name, NO_HOLD_OUT | {"kafka.range_records": 16, "pipeline.shuffle_buffer": 16})

    service.until(lambda status: status["step"] >= 3)
    remove_before(servers, name, 2600)
    status = service.settled(produced)
    assert status["records"]["lost"] > 0
    assert status["records"]["trained"] + status["records"]["lost"] == produced
    assert status["worker"]["restarts"] == 0
    assert problems(status) == {"data-lost"}
    lost = ledger_of(service.url, service.checkpoint())[0]["lost"]
    assert sum(stop - start for start, stop in lost) == status["records"]["lost"]
    assert all(stop <= 2600 for _, stop in lost)


def test_of_a_topic_created_anew_nothing_is_booked(kafka: Broker, topic: TopicFactory, serve: Serve) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produce(servers, name, [record(n) for n in range(40)])
    service = serve(name, NO_HOLD_OUT)
    service.settled(40)
    service.checkpoint()

    recreate(servers, name)
    produce(servers, name, [record(n) for n in range(100)])
    failed = service.until(lambda status: status["state"] == "failed", deadline_s=15)
    assert "topic-recreated" in problems(failed)
    assert (failed["records"]["trained"], failed["partitions"][0]["position"]) == (40, 40)
    service.until(lambda status: status["partitions"][0]["retention_headroom_seconds"] is None, deadline_s=15)


def test_a_long_stretch_of_aborted_records_is_progress_and_no_hang(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    """Ranges of holes alone give no batch for longer than a read may take that hangs."""
    name, servers = topic(1), kafka.bootstrap_servers
    produce(servers, name, [b"x"] * 20_000, transaction=False)
    produce(servers, name, [record(n) for n in range(40)])
    small = {"kafka.range_records": 8, "pipeline.linger_s": 0.2, "service.stall_s": 5}
    service = serve(name, NO_HOLD_OUT | small)
    began = time.monotonic()
    status = service.settled(20_041)
    print(f"20,000 aborted records were passed in {time.monotonic() - began:.0f} s")
    assert (status["records"]["absent"], status["records"]["trained"]) == (20_001, 40)
    assert status["worker"]["restarts"] == 0
