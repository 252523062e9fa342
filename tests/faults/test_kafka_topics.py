"""What happens to the topic itself: made anew, overtaken by retention, written in transactions."""

import time

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from streaming.demo.kafka import EmbeddedKafka
from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import counts_in, judge
from tests.faults.scene import ALL_TRAINED, READERS, resumed_after, sees_degraded, sees_failed, settle
from tests.faults.table import Results
from tests.faults.visible import Lookout
from tests.faults.witness import witness_record
from tests.line.line import produce
from tests.line.topics import recreate

pytestmark = [pytest.mark.kafka, pytest.mark.tf]
PATIENCE_S = 60.0


@pytest.mark.slow
def test_nothing_of_a_recreated_topic_is_trained(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    """Made anew in an instant and at once longer than the old one, so that the next offsets seem to be there."""
    servers, name = kafka.bootstrap_servers, topic(1)
    produce(servers, name, map(witness_record, range(100)))
    service = witness(name, ALL_TRAINED)
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    lookout = Lookout(service)
    recreate(servers, name)
    produce(servers, name, map(witness_record, range(1000, 1400)))
    visible = sees_failed(lookout, "topic-recreated")
    assert service.status()["problems"][0]["remedies"]
    counts = counts_in(service, service.get("/v1/checkpoints")["checkpoints"][0]["id"])
    assert (counts[:100] == 1).all()
    assert not counts[100:].any()
    results.add(
        "topic deleted and created again", verdict, outcome="failed; nothing of the new topic trained", visible=visible
    )


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_what_retention_removed_is_booked_as_lost_and_the_rest_is_trained(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results, reader: str
) -> None:
    """First while the worker is gone, so that the loss is exactly known; then under its hands, in a backlog."""
    servers, name = kafka.bootstrap_servers, topic(1)
    produce(servers, name, map(witness_record, range(50)))
    service = witness(name, {**ALL_TRAINED, "kafka.reader": reader, "pipeline.backlog_window": 256})
    settle(service, servers, name)
    service.checkpoint()
    service.kill_worker()
    produce(servers, name, map(witness_record, range(50, 200)))
    retention = KafkaAdminClient(bootstrap_servers=servers)
    retention.delete_records({TopicPartition(name, 0): 150})
    assert settle(service, servers, name)["records"]["lost"] == 100

    service.post("/v1/pause")
    service.until(lambda status: status["state"] == "paused")
    produce(servers, name, map(witness_record, range(200, 6000)))
    lookout = Lookout(service)
    service.post("/v1/resume")
    service.until(lambda status: status["records"]["trained"] >= 300)
    retention.delete_records({TopicPartition(name, 0): 5900})
    retention.close()
    visible = lookout.sees(
        status=lambda status: "data-lost" in [problem["type"] for problem in status["problems"]],
        event="records_lost",
        metric="penstock_records_lost_total",
    )
    lost = settle(service, servers, name)["records"]["lost"]
    assert lost > 100
    known = {(0, code): witness_record(code) for code in range(6000)}  # one partition, so offsets are codes
    verdict = judge(service, servers, name, service.checkpoint(), known)
    assert verdict.exact, verdict
    assert verdict.trained + lost == 6000
    results.add(
        f"retention overran the position ({reader})",
        verdict,
        outcome="booked as lost, counted; the rest exact",
        visible=visible,
        rounds=2,
    )


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_transactions_whose_coordinator_dies_are_trained_when_committed_and_never_when_aborted(
    killable_kafka: EmbeddedKafka, topic: TopicFactory, witness: ServeWitness, results: Results, reader: str
) -> None:
    servers, name = killable_kafka.bootstrap_servers, topic(2)
    produce(servers, name, map(witness_record, range(40)), partitions=2)
    service = witness(name, {**ALL_TRAINED, "kafka.reader": reader})
    service.until(lambda status: status["records"]["trained"] == 40)
    recoveries = []
    for first, commit in ((100, True), (200, False)):
        writer = transaction(servers)
        send(writer, name, range(first, first + 40))
        lookout = Lookout(service)
        killable_kafka.kill()
        visible = sees_degraded(lookout)
        killable_kafka.restart()
        send(writer, name, range(first + 40, first + 80))
        assert service.status()["records"]["trained"] == (40 if commit else 130)
        writer.commit_transaction(PATIENCE_S) if commit else writer.abort_transaction(PATIENCE_S)
        produce(servers, name, map(witness_record, range(first + 80, first + 90)), partitions=2)
        recoveries.append(resumed_after(service, 40 if commit else 130))
        settle(service, servers, name)
    status = service.status()
    assert status["worker"]["restarts"] == 0
    assert status["records"]["absent"] == 80 + 2 * 2  # the aborted records, and a marker a partition and transaction
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 40 + 80 + 2 * 10
    results.add(
        f"coordinator killed in a transaction ({reader})",
        verdict,
        outcome="committed records once, aborted ones and markers absent",
        visible=visible,
        rounds=len(recoveries),
        recovery_s=max(recoveries),
    )


@pytest.mark.slow
def test_behind_a_long_open_transaction_nothing_is_read_too_early(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    servers, name = kafka.bootstrap_servers, topic(1)
    produce(servers, name, map(witness_record, range(40)))
    service = witness(name, ALL_TRAINED)
    service.until(lambda status: status["records"]["trained"] == 40)
    writer = transaction(servers)
    send(writer, name, range(100, 110), partitions=1)
    produce(servers, name, map(witness_record, range(200, 260)))
    held = service.until(lambda status: status["state"] == "waiting")
    assert [held["partitions"][0][field] for field in ("position", "log_end", "lag")] == [40, 40, 0]
    service.checkpoint()
    service.kill_worker()
    service.until(lambda status: status["worker"]["restarts"] == 1 and status["state"] == "waiting")
    assert service.status()["records"]["trained"] == 40
    writer.commit_transaction(PATIENCE_S)
    recovery_s = resumed_after(service, 40)
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.trained == 40 + 10 + 60
    results.add(
        "long open transaction, worker killed behind it",
        verdict,
        outcome="waits at the last stable offset, then exact",
        visible="status: state `waiting`, log_end stands",
        recovery_s=recovery_s,
    )


def transaction(servers: str) -> Producer:
    """A producer in a transaction that it has begun. kafka-python's hangs in its commit once the coordinator moved."""
    producer = Producer(
        {"bootstrap.servers": servers, "transactional.id": f"fault-{time.monotonic_ns()}", "log_level": 0}
    )
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    return producer


def send(producer: Producer, topic: str, codes: range, partitions: int = 2) -> None:
    """Returns when all are acknowledged."""
    for code in codes:
        producer.produce(topic, witness_record(code), partition=code % partitions)
    assert producer.flush(PATIENCE_S) == 0
