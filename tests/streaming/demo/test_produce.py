import signal
import subprocess
import sys
import time

import pytest
from kafka import KafkaConsumer, TopicPartition
from typer.testing import CliRunner

from streaming.demo.cli import app
from streaming.demo.produce import Pace, Producer, ensure_topic
from streaming.demo.sources import Record
from streaming.demo.synthetic import synthetic
from streaming.errors import KafkaUnavailable, PenstockError
from streaming.settings import KafkaSettings
from tests.conftest import Broker, TopicFactory
from tests.line.line import PENSTOCK, nap

NOWHERE = "127.0.0.1:1"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


def test_the_pace_is_kept() -> None:
    clock = Clock()
    pace = Pace(20, clock=clock, sleep=clock.sleep)
    due = [clock.now_s for _ in pace(_records(41))]
    assert due[0] == 0
    assert due[-1] == pytest.approx(2.0)


def test_what_was_late_is_caught_up_within_a_second_only() -> None:
    clock = Clock()
    sent = []
    for _ in Pace(10, clock=clock, sleep=clock.sleep)(_records(60)):
        sent.append(clock.now_s)
        clock.now_s += 5.0 if len(sent) == 1 else 0.0
    assert sum(at == 5.0 for at in sent) <= 11
    assert sent[-1] == pytest.approx(5.0 + (60 - 12) / 10, abs=0.2)


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    assert len(list(Pace(None, clock=clock, sleep=clock.sleep)(_records(1000)))) == 1000
    assert clock.now_s == 0


def test_a_broker_that_is_away_is_one_sentence_and_exit_code_1() -> None:
    outcome = CliRunner().invoke(
        app,
        ["produce", "synthetic", "--bootstrap-servers", NOWHERE, "--topic", "t", "--count", "1"],
        env={"PENSTOCK_KAFKA__BOOTSTRAP_TIMEOUT_S": "0.5"},
    )
    assert outcome.exit_code == 1
    assert f"penstock: Kafka at {NOWHERE}: connection refused" in outcome.output


def test_a_missing_data_set_is_found_before_kafka_is_asked() -> None:
    outcome = CliRunner().invoke(app, ["produce", "oxford-pet", "/nowhere", "--bootstrap-servers", NOWHERE])
    assert outcome.exit_code == 1
    assert "penstock: /nowhere/images is missing" in outcome.output


def test_producing_needs_no_tensorflow() -> None:
    script = "import sys, streaming.demo.cli; sys.exit(any(m.split('.')[0] == 'tensorflow' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.kafka
def test_every_record_arrives_with_its_key(kafka: Broker, topic: TopicFactory) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic=topic(partitions=3))
    sent = list(synthetic(1, 0, 40, broken_every=5, clock=lambda: 9))
    with Producer(settings) as producer:
        acknowledged = list(producer.send(sent))
    assert acknowledged[-1] == producer.records_total == 40
    assert acknowledged == sorted(acknowledged)
    assert sorted(_received(settings, 3)) == sorted((record.key, record.value or b"") for record in sent)


@pytest.mark.kafka
def test_a_record_that_the_topic_refuses_is_named(kafka: Broker, topic: TopicFactory) -> None:
    name = topic(config={"max.message.bytes": "10000"})
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic=name)
    with pytest.raises(PenstockError, match=rf"big: 20000 bytes are more than topic {name} takes"):
        _send_all(settings, [Record(b"small", b"x"), Record(b"big", bytes(20_000))])


@pytest.mark.kafka
def test_a_missing_topic_is_created_only_when_asked_for(kafka: Broker, topic: TopicFactory) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic=f"{topic()}-more")
    with pytest.raises(KafkaUnavailable, match="does not exist; create it, or pass --create-topic"):
        ensure_topic(settings, None)
    assert ensure_topic(settings, 3)
    assert not ensure_topic(settings, 3)
    assert not ensure_topic(settings, None)


@pytest.mark.kafka
def test_the_command_counts_what_was_acknowledged(kafka: Broker, topic: TopicFactory) -> None:
    name = topic()
    servers = ["--bootstrap-servers", kafka.bootstrap_servers, "--topic", name]
    outcome = CliRunner().invoke(app, ["produce", "synthetic", *servers, "--count", "7", "--rate", "500"])
    assert outcome.exit_code == 0
    assert "7 records" in outcome.output
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic=name)
    assert len(_received(settings, 1)) == 7


@pytest.mark.kafka
def test_terminated_it_says_how_many_were_acknowledged_and_leaves_with_0(kafka: Broker, topic: TopicFactory) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic=topic())
    command = [PENSTOCK, "produce", "synthetic", "--rate", "50", "--topic", settings.topic]
    command += ["--bootstrap-servers", settings.bootstrap_servers]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as producer:
        deadline = time.monotonic() + 60
        while not _received(settings, 1):
            assert time.monotonic() < deadline
            nap()
        producer.send_signal(signal.SIGTERM)
        _, said = producer.communicate(timeout=60)
    assert producer.returncode == 0
    assert f"{len(_received(settings, 1))} records" in said


def _records(count: int) -> list[Record]:
    return [Record(b"k", b"v")] * count


def _send_all(settings: KafkaSettings, records: list[Record]) -> None:
    with Producer(settings) as producer:
        for _ in producer.send(records):
            pass


def _received(settings: KafkaSettings, partitions: int) -> list[tuple[bytes, bytes]]:
    """All records of the topic, a null value as b""."""
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers, auto_offset_reset="none")
    try:
        assigned = [TopicPartition(settings.topic, partition) for partition in range(partitions)]
        consumer.assign(assigned)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(assigned)
        found = []
        while any(consumer.position(partition) < ends[partition] for partition in assigned):
            for records in consumer.poll(timeout_ms=1000).values():
                found += [(record.key, record.value or b"") for record in records]
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--topic", "two words"], "kafka.topic: must be what Kafka takes for a topic"),
        (["--compression", "zip"], "--compression"),
        (["--rate", "-1"], "--rate"),
        (["--image-size", "10000000", "--profile", "raw"], "--image-size"),
    ],
)
def test_what_can_not_be_meant_is_refused_at_once(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["produce", "synthetic", "--bootstrap-servers", NOWHERE, *arguments])
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
