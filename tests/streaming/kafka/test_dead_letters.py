"""Letters on a real broker: what they carry, and that none counts before it is durable."""

import threading
import time

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streaming.kafka.dead_letters import DeadLetters
from streaming.records.breaker import BadRecord
from streaming.settings import KafkaSettings
from tests.conftest import Broker, TopicFactory
from tests.line.line import produce

pytestmark = pytest.mark.kafka


def delivered(letters: DeadLetters, count: int, deadline_s: float = 20) -> list[BadRecord]:
    found: list[BadRecord] = []
    deadline, tick = time.monotonic() + deadline_s, threading.Event()
    while len(found) < count:
        assert time.monotonic() < deadline, f"{found}, error {letters.error}"
        found += letters.delivered()
        tick.wait(0.02)
    return found


def read_all(servers: str, topic: str) -> list:
    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
    part = TopicPartition(topic, 0)
    consumer.assign([part])
    end, found = consumer.end_offsets([part])[part], []
    while consumer.position(part) < end:
        found += consumer.poll(timeout_ms=500).get(part, [])
    consumer.close()
    return found


def test_a_letter_carries_key_value_headers_and_where_the_original_stands(kafka: Broker, topic: TopicFactory) -> None:
    name, graveyard = topic(1), topic(1)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    headers = [("camera", b"7")]
    producer.send(name, b"broken", b"key", headers=headers, timestamp_ms=1_700_000_000_000).get(10)
    producer.close()
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": kafka.bootstrap_servers, "topic": name, "dead_letter_topic": graveyard}
    )
    letters = DeadLetters(settings, "tests")
    letters.start()
    bad = BadRecord(0, 0, "mask_size", "mask 1x2, image 3x4")
    letters.send([bad])
    assert letters.pending == 1
    assert delivered(letters, 1) == [bad]
    assert letters.pending == 0
    letters.stop()
    (letter,) = read_all(kafka.bootstrap_servers, graveyard)
    found = dict(letter.headers)
    assert (letter.key, letter.value, found["camera"]) == (b"key", b"broken", b"7")
    assert found["__connect.errors.topic"] == name.encode()
    assert (found["__connect.errors.partition"], found["__connect.errors.offset"]) == (b"0", b"0")
    assert found["__connect.errors.exception.class.name"] == b"mask_size"
    assert found["penstock.original.timestamp_ms"] == b"1700000000000"
    assert letter.timestamp > 1_700_000_000_000


def test_without_a_topic_records_are_delivered_at_once() -> None:
    letters = DeadLetters(KafkaSettings(), "tests")
    letters.start()
    bad = BadRecord(0, 5, "not_an_example", "")
    letters.send([bad])
    assert list(letters.delivered()) == [bad]


def test_a_missing_letter_topic_holds_the_letters_back_and_says_so(kafka: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"broken"])
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": kafka.bootstrap_servers, "topic": name, "dead_letter_topic": "no-such-letters"}
    )
    letters = DeadLetters(settings, "tests")
    letters.start()
    letters.send([BadRecord(0, 0, "not_an_example", "")])
    deadline, tick = time.monotonic() + 20, threading.Event()
    while letters.error is None:
        assert time.monotonic() < deadline
        tick.wait(0.05)
    assert "no-such-letters" in letters.error
    assert list(letters.delivered()) == []
    assert letters.pending == 1
    letters.stop()
