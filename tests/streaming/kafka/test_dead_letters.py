"""Letters on a real broker: what they carry, that none counts before it is durable, and that none holds up others."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from streaming.kafka.dead_letters import HELD_BYTES, DeadLetters
from streaming.records.breaker import BadRecord
from streaming.records.original import Original
from streaming.settings import KafkaSettings
from tests.conftest import Broker, TopicFactory
from tests.line.line import nap, produce

pytestmark = pytest.mark.kafka
DEADLINE_S = 40.0
TOPIC_ID = "0123456789abcdef"

Writing = Callable[..., DeadLetters]


@pytest.fixture
def writing(kafka: Broker) -> Iterator[Writing]:
    """Starts letters about a topic, to another one; they stop with the test."""
    started: list[DeadLetters] = []

    def start(topic: str, graveyard: str) -> DeadLetters:
        tree = {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "dead_letter_topic": graveyard}
        letters = DeadLetters(KafkaSettings.model_validate(tree), "tests")
        letters.start()
        started.append(letters)
        return letters

    yield start
    for letters in started:
        letters.stop()


@pytest.fixture
def admin(kafka: Broker) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    yield client
    client.close()


def bad(offset: int, original: Original | None = None, partition: int = 0) -> BadRecord:
    return BadRecord(partition, offset, "mask_size", "mask 1x2, image 3x4", original)


def delivered(letters: DeadLetters, count: int) -> list[BadRecord]:
    found: list[BadRecord] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} delivered, error {letters.error}"
        found += letters.delivered()
        nap(0.02)
    return found


def until_error(letters: DeadLetters) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while letters.error is None:
        assert time.monotonic() < deadline, "nothing is said"
        nap()
    return letters.error


def read_all(servers: str, topic: str) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
    part = TopicPartition(topic, 0)
    consumer.assign([part])
    end, found = consumer.end_offsets([part])[part], []
    while consumer.position(part) < end:
        found += consumer.poll(timeout_ms=500).get(part, [])
    consumer.close()
    return found


def ids(letters: list[Any]) -> list[str]:
    return [dict(letter.headers)["penstock.letter.id"].decode() for letter in letters]


def test_a_letter_carries_key_value_headers_and_where_the_original_stands(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    name, graveyard = topic(1), topic(1)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    headers = [("camera", b"7"), ("camera", b"8")]
    producer.send(name, b"broken", b"key", headers=headers, timestamp_ms=1_700_000_000_000).get(10)
    producer.close()
    letters = writing(name, graveyard)
    letters.send([bad(0)], TOPIC_ID)
    assert letters.pending == 1
    assert delivered(letters, 1) == [bad(0)]
    assert letters.pending == 0
    (letter,) = read_all(kafka.bootstrap_servers, graveyard)
    found = dict(letter.headers)
    assert (letter.key, letter.value, letter.headers[:2]) == (b"key", b"broken", headers)
    assert found["__connect.errors.topic"] == name.encode()
    assert (found["__connect.errors.partition"], found["__connect.errors.offset"]) == (b"0", b"0")
    assert found["__connect.errors.exception.class.name"] == b"mask_size"
    assert found["penstock.letter.id"] == f"{TOPIC_ID}/0/0".encode()
    assert found["penstock.original.timestamp_ms"] == b"1700000000000"
    assert letter.timestamp > 1_700_000_000_000


def test_what_the_reader_told_is_not_looked_up(kafka: Broker, topic: TopicFactory, writing: Writing) -> None:
    """The record isn't in the topic at all."""
    graveyard = topic(1)
    letters = writing("no-such-topic", graveyard)
    original = Original(b"value", None, [("camera", b"7"), ("camera", None)], 1_700_000_000_000)
    letters.send([bad(12, original)], TOPIC_ID)
    assert delivered(letters, 1) == [bad(12, original)]
    (letter,) = read_all(kafka.bootstrap_servers, graveyard)
    assert (letter.key, letter.value, letter.headers[:2]) == (None, b"value", [("camera", b"7"), ("camera", b"")])


def test_without_a_topic_records_are_delivered_at_once() -> None:
    letters = DeadLetters(KafkaSettings(), "tests")
    letters.start()
    letters.send([bad(5)], TOPIC_ID)
    assert list(letters.delivered()) == [bad(5)]


def test_a_missing_letter_topic_holds_the_letters_back_says_so_and_may_come_later(
    kafka: Broker, topic: TopicFactory, writing: Writing, admin: KafkaAdminClient
) -> None:
    name, graveyard = topic(1), f"letters-{time.monotonic_ns()}"
    produce(kafka.bootstrap_servers, name, [b"broken"])
    letters = writing(name, graveyard)
    letters.send([bad(0)], TOPIC_ID)
    error = until_error(letters)
    assert graveyard in error
    assert "does the topic exist" in error
    assert "(partition 0, offset 0)" in error
    assert list(letters.delivered()) == []
    assert letters.pending == 1
    admin.create_topics({graveyard: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    assert delivered(letters, 1) == [bad(0)]
    assert letters.error is None
    assert [letter.value for letter in read_all(kafka.bootstrap_servers, graveyard)] == [b"broken"]
    admin.delete_topics([graveyard])


def test_a_record_larger_than_the_letter_topic_takes_becomes_headers_alone_and_holds_up_no_other(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    name, graveyard = topic(1), topic(1, {"max.message.bytes": "20000"})
    produce(kafka.bootstrap_servers, name, [b"small", b"L" * 30_000, b"small too"])
    letters = writing(name, graveyard)
    letters.send([bad(n) for n in range(3)], TOPIC_ID)
    assert len(delivered(letters, 3)) == 3
    found = {letter.key: letter for letter in read_all(kafka.bootstrap_servers, graveyard)}
    assert {key: letter.value for key, letter in found.items()} == {b"0": b"small", b"1": b"", b"2": b"small too"}
    assert dict(found[b"1"].headers)["penstock.value"] == b"too_large"
    assert "penstock.value" not in dict(found[b"0"].headers)


def test_headers_that_are_too_large_are_left_out_at_last(kafka: Broker, topic: TopicFactory, writing: Writing) -> None:
    graveyard = topic(1, {"max.message.bytes": "5000"})
    letters = writing("no-such-topic", graveyard)
    letters.send([bad(0, Original(b"v" * 9000, b"key", [("huge", b"h" * 9000)], 5))], TOPIC_ID)
    delivered(letters, 1)
    (letter,) = read_all(kafka.bootstrap_servers, graveyard)
    assert (letter.key, letter.value) == (None, b"")
    assert "huge" not in dict(letter.headers)
    assert dict(letter.headers)["penstock.value"] == b"too_large"
    assert ids([letter]) == [f"{TOPIC_ID}/0/0"]


def test_originals_that_retention_removed_become_headers_alone(
    kafka: Broker, topic: TopicFactory, writing: Writing, admin: KafkaAdminClient
) -> None:
    name, graveyard = topic(2), topic(1)
    produce(kafka.bootstrap_servers, name, [b"%d" % n for n in range(12)], 2)
    admin.delete_records({TopicPartition(name, 0): 3, TopicPartition(name, 1): 6})  # partition 1 is empty now
    letters = writing(name, graveyard)
    letters.send([bad(1), bad(4), bad(2, partition=1), bad(5, partition=1)], TOPIC_ID)
    delivered(letters, 4)
    found = {
        letter_id: letter for letter in read_all(kafka.bootstrap_servers, graveyard) for letter_id in ids([letter])
    }
    assert {key.removeprefix(f"{TOPIC_ID}/"): letter.value for key, letter in found.items()} == {
        "0/1": b"",
        "0/4": b"8",
        "1/2": b"",
        "1/5": b"",
    }
    gone = [key for key, letter in found.items() if dict(letter.headers).get("penstock.value") == b"gone"]
    assert sorted(gone) == [f"{TOPIC_ID}/0/1", f"{TOPIC_ID}/1/2", f"{TOPIC_ID}/1/5"]


def test_an_original_that_does_not_exist_any_more_is_gone_whether_or_not_records_follow(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    """Aborted records stand in for compacted ones: a hole is a hole."""
    name, graveyard = topic(1), topic(1)
    produce(kafka.bootstrap_servers, name, [b"aborted"] * 3, transaction=False)  # 0 to 2, marker 3
    produce(kafka.bootstrap_servers, name, [b"here"])  # 4
    produce(kafka.bootstrap_servers, name, [b"aborted"] * 3, transaction=False)  # 5 to 7, marker 8
    letters = writing(name, graveyard)
    letters.send([bad(1), bad(4), bad(6)], TOPIC_ID)
    delivered(letters, 3)
    found = read_all(kafka.bootstrap_servers, graveyard)
    assert sorted((ids([letter])[0][-1], letter.value) for letter in found) == [("1", b""), ("4", b"here"), ("6", b"")]


def test_a_header_whose_name_is_no_text_is_carried_and_holds_up_no_other(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    class Bytes(str):
        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            return b"\xff\xfe"

    name, graveyard = topic(1), topic(1)
    produce(kafka.bootstrap_servers, name, [b"before"])
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    producer.send(name, b"odd", headers=[(Bytes("bad"), b"1")], partition=0).get(10)
    producer.close()
    produce(kafka.bootstrap_servers, name, [b"behind"])
    letters = writing(name, graveyard)
    letters.send([bad(0), bad(1), bad(2)], TOPIC_ID)
    delivered(letters, 3)
    found = read_all(kafka.bootstrap_servers, graveyard)
    assert sorted(letter.value for letter in found) == [b"before", b"behind", b"odd"]
    (odd,) = (letter for letter in found if letter.value == b"odd")
    assert odd.headers[0] == (r"\xff\xfe", b"1")


def test_an_original_beyond_the_logs_end_waits_and_holds_up_no_other_partition(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    name, graveyard = topic(2), topic(1)
    produce(kafka.bootstrap_servers, name, [b"x"] * 4, 2)
    letters = writing(name, graveyard)
    letters.send([bad(7), bad(1, partition=1)], TOPIC_ID)
    assert delivered(letters, 1) == [bad(1, partition=1)]
    assert "(partition 0, offset 7)" in until_error(letters)
    assert letters.pending == 1


@pytest.mark.parametrize("step", [1, 100], ids=["in a row", "far apart"])
def test_hundreds_of_letters_are_one_batch(kafka: Broker, topic: TopicFactory, writing: Writing, step: int) -> None:
    name, graveyard = topic(1), topic(1)
    produce(kafka.bootstrap_servers, name, [b"%d" % n for n in range(500 * step)])
    letters = writing(name, graveyard)
    letters.send([bad(0)], TOPIC_ID)
    delivered(letters, 1)  # connected
    began = time.monotonic()
    letters.send([bad(n) for n in range(0, 500 * step, step)], TOPIC_ID)
    delivered(letters, 500)
    took_s = time.monotonic() - began
    print(f"500 letters whose originals stand {step} apart: {took_s:.2f} s")
    found = read_all(kafka.bootstrap_servers, graveyard)[1:]
    assert sorted(int(letter.value) for letter in found) == list(range(0, 500 * step, step))
    assert took_s < DEADLINE_S / 4


def test_a_letter_written_again_after_a_restart_carries_the_same_id(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    name, graveyard = topic(1), topic(1)
    produce(kafka.bootstrap_servers, name, [b"broken", b"broken too"])
    for _ in range(2):
        letters = writing(name, graveyard)
        letters.send([bad(0), bad(1)], TOPIC_ID)
        delivered(letters, 2)
    found = ids(read_all(kafka.bootstrap_servers, graveyard))
    assert len(found) == 4
    assert set(found) == {f"{TOPIC_ID}/0/0", f"{TOPIC_ID}/0/1"}


def test_originals_that_would_take_too_much_memory_are_looked_up_in_their_turn(
    kafka: Broker, topic: TopicFactory, writing: Writing
) -> None:
    name, graveyard = topic(1), topic(1, {"max.message.bytes": str(40 << 20)})
    produce(kafka.bootstrap_servers, name, [b"as Kafka has it"] * 3)
    letters = writing(name, graveyard)
    told = Original(b"v" * (HELD_BYTES // 2), None, [], 5)
    letters.send([bad(n, told) for n in range(3)], TOPIC_ID)
    records = {one.offset: one.original for one in delivered(letters, 3)}
    assert (records[0], records[1], records[2]) == (told, told, None)
    values = {ids([letter])[0][-1]: letter.value for letter in read_all(kafka.bootstrap_servers, graveyard)}
    assert values["2"] == b"as Kafka has it"
    letters.send([bad(0, told)], TOPIC_ID)
    assert delivered(letters, 1)[0].original == told, "the memory is free again"
