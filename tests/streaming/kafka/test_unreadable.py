"""Records that kafka-python can't read by itself, or that nobody can, hide no other record and hold up nobody."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from streaming.demo.kafka import EmbeddedKafka
from streaming.errors import KafkaUnavailable
from streaming.kafka.letter import Missing
from streaming.kafka.originals import Originals
from streaming.kafka.refetch import fetch_records
from streaming.kafka.retention import RetentionWatch
from streaming.kafka.tails import Tail, TailProofs
from streaming.records.original import Original
from streaming.settings import KafkaSettings
from tests.conftest import Broker, TopicFactory
from tests.line.line import produce
from tests.streaming.kafka.test_broker_and_watch import until

# kafka-python's consumer spins for ever where it is asked again behind what it couldn't read.
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(30, func_only=True)]

CODECS = ["gzip", "snappy", "lz4", "zstd"]
DAMAGED = b"a value that will be damaged on the disk"


class Bytes(str):
    """A header's name that is no text."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfename"


def settings(servers: str, topic: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=servers, topic=topic)


def produce_batch(servers: str, topic: str, values: Sequence[bytes], odd: int, compression: str | None = None) -> None:
    """One batch, keys as the numbers of the values; the odd one has a header whose name is no text."""
    producer = KafkaProducer(bootstrap_servers=servers, linger_ms=2000, compression_type=compression)
    for number, value in enumerate(values):
        name = Bytes("odd") if number == odd else "plain"
        producer.send(topic, value, b"%d" % number, headers=[(name, b"1")], partition=0, timestamp_ms=1000 + number)
    producer.flush(10)
    producer.close()


def produce_with_damage(broker: EmbeddedKafka, topic: str) -> None:
    """Three batches of a record each, 0 to 2; what the broker has of the record in the middle is wrong."""
    for value in (b"before", DAMAGED, b"behind"):
        produce(broker.bootstrap_servers, topic, [value])
    log: Path
    (log,) = (broker.directory / "data" / f"{topic}-0").glob("*.log")
    at = log.read_bytes().index(DAMAGED)
    with log.open("r+b") as file:
        file.seek(at)
        file.write(DAMAGED[:1].upper())


def answers(proofs: TailProofs) -> list[int | None]:
    while proofs.answer_next():
        pass
    return [found for _, found in proofs.answers()]


def test_a_tail_that_begins_with_a_header_that_is_no_text_exists(kafka: Broker, topic: TopicFactory) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produce(servers, name, [b"x"] * 4)
    produce_batch(servers, name, [b"odd"], 0)
    produce(servers, name, [b"x"] * 2)
    proofs = TailProofs(settings(servers, name), "tests")
    proofs.ask(Tail(0, 4, 6))
    assert answers(proofs) == [4]
    proofs.close()


def test_a_marker_in_front_of_a_header_that_is_no_text_is_absent(kafka: Broker, topic: TopicFactory) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produce(servers, name, [b"x"] * 4, transaction=True)  # 4: the marker
    produce_batch(servers, name, [b"odd"], 0)
    proofs = TailProofs(settings(servers, name), "tests")
    proofs.ask(Tail(0, 4, 5))
    assert answers(proofs) == [None]
    proofs.close()


@pytest.mark.parametrize("compression", [None, *CODECS])
def test_a_header_that_is_no_text_hides_nothing_in_its_batch(
    kafka: Broker, topic: TopicFactory, compression: str | None
) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    produce_batch(servers, name, [b"before", b"odd", b"behind"], 1, compression)
    proofs = TailProofs(settings(servers, name), "tests")
    proofs.ask(Tail(0, 1, 2))
    proofs.ask(Tail(0, 2, 3))
    assert answers(proofs) == [1, 2]
    proofs.close()

    places = [(0, 1), (0, 0), (0, 2)]
    values = [(b"odd", b"1"), (b"before", b"0"), (b"behind", b"2")]
    assert fetch_records(settings(servers, name), "tests", places) == dict(zip(places, values, strict=True))

    originals = Originals(settings(servers, name), "tests")
    assert dict(originals.find(0, [0, 1, 2])) == {
        0: Original(b"before", b"0", [("plain", b"1")], 1000),
        1: Original(b"odd", b"1", [(r"\xff\xfename", b"1")], 1001),
        2: Original(b"behind", b"2", [("plain", b"1")], 1002),
    }
    originals.close()


@pytest.mark.parametrize("codec", CODECS)
def test_what_librdkafka_has_compressed_can_be_read_again(kafka: Broker, topic: TopicFactory, codec: str) -> None:
    name, servers = topic(1), kafka.bootstrap_servers
    values = [bytes([n]) * 90_000 for n in range(30)]
    producer = Producer({"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 100})
    for value in values:
        producer.produce(name, value, partition=0)
    producer.flush(10)
    proofs = TailProofs(settings(servers, name), "tests")
    proofs.ask(Tail(0, 17, 30))
    assert answers(proofs) == [17]
    proofs.close()
    found = fetch_records(settings(servers, name), "tests", [(0, n) for n in (29, 5)])
    assert found == {(0, 29): (values[29], b""), (0, 5): (values[5], b"")}
    originals = Originals(settings(servers, name), "tests")
    whole = {n: one if isinstance(one, Missing) else one.value for n, one in originals.find(0, range(30))}
    assert whole == dict(enumerate(values))
    originals.close()


def test_a_tail_that_is_damaged_is_told_at_every_try_and_holds_up_no_other(
    killable_kafka: EmbeddedKafka, topic: TopicFactory
) -> None:
    name = topic(1)
    produce_with_damage(killable_kafka, name)
    proofs = TailProofs(settings(killable_kafka.bootstrap_servers, name), "tests")
    proofs.ask(Tail(0, 1, 3))
    for _ in range(3):
        with pytest.raises(KafkaUnavailable, match=r"CorruptRecordError.*crc"):
            proofs.answer_next()
    proofs.ask(Tail(0, 2, 3))
    with pytest.raises(KafkaUnavailable, match=r"CorruptRecordError.*crc"):
        proofs.answer_next()
    assert proofs.answer_next()
    assert list(proofs.answers()) == [(Tail(0, 2, 3), 2)]
    proofs.close()


def test_a_damaged_record_does_not_end_the_search_for_others(
    killable_kafka: EmbeddedKafka, topic: TopicFactory
) -> None:
    name = topic(1)
    produce_with_damage(killable_kafka, name)
    its = settings(killable_kafka.bootstrap_servers, name)
    found = fetch_records(its, "tests", [(0, 1), (0, 0), (0, 2)])
    assert found == {(0, 0): (b"before", b"0"), (0, 2): (b"behind", b"0")}


@pytest.mark.parametrize("offsets", [[0, 1, 2], [0, 2], [1], [1, 2]])
def test_a_damaged_record_is_the_only_unreadable_original(
    killable_kafka: EmbeddedKafka, topic: TopicFactory, offsets: list[int]
) -> None:
    name = topic(1)
    produce_with_damage(killable_kafka, name)
    originals = Originals(settings(killable_kafka.bootstrap_servers, name), "tests")
    found = {n: one if isinstance(one, Missing) else one.value for n, one in originals.find(0, offsets)}
    everything = {0: b"before", 1: Missing.UNREADABLE, 2: b"behind"}
    assert found == {offset: everything[offset] for offset in offsets}
    originals.close()


def test_a_position_at_a_damaged_record_hides_the_headroom_of_no_other_partition(
    killable_kafka: EmbeddedKafka, topic: TopicFactory
) -> None:
    name, servers = topic(2, {"retention.ms": str(24 * 3600 * 1000)}), killable_kafka.bootstrap_servers
    produce_with_damage(killable_kafka, name)
    produce(servers, name, [b"x"] * 2, 2)
    watch = RetentionWatch(settings(servers, name), "tests", interval_s=0.1)
    watch.look_at({0: 1, 1: 0})
    watch.start()
    try:
        until(lambda: bool(watch.headrooms()))
        assert watch.headrooms().keys() == {1}
        watch.look_at({0: 2, 1: 0})
        until(lambda: watch.headrooms().keys() == {0, 1})
    finally:
        watch.stop()


def test_a_position_at_a_header_that_is_no_text_has_a_headroom(kafka: Broker, topic: TopicFactory) -> None:
    name, servers = topic(1, {"retention.ms": str(24 * 3600 * 1000)}), kafka.bootstrap_servers
    produce(servers, name, [b"x"])
    produce_batch(servers, name, [b"odd"], 0)
    watch = RetentionWatch(settings(servers, name), "tests", interval_s=0.1)
    watch.look_at({0: 1})
    watch.start()
    try:
        until(lambda: watch.headrooms().keys() == {0})
    finally:
        watch.stop()
