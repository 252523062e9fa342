"""The contract of every reader, on a real broker: exact ranges whatever the log holds, errors instead of silence."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from streaming.kafka.readers import open_reader
from streaming.records.batches import Fetched, RangeReader
from streaming.records.original import Original, opened
from streaming.settings import KafkaSettings
from tests.conftest import Broker, TopicFactory
from tests.line.line import nap, produce

pytestmark = [pytest.mark.kafka, pytest.mark.tf]
HANG_S = 60.0


class Row(NamedTuple):
    """One record as the chain sees it."""

    offset: int
    value: bytes
    key: bytes
    original: Original | None


class Reader:
    """A reader inside `Dataset.map`, as the chain calls it."""

    def __init__(self, name: str, servers: str) -> None:
        self.name = name
        self.servers = servers
        self.made: dict[str, RangeReader] = {}

    def __call__(self, topic: str, *ranges: tuple[int, int], partition: int = 0, parallel: int = 1) -> list[list[Row]]:
        """What each range delivers that lies within it, and at most one record behind it."""
        reader = self.of(topic)

        def read_range(start: tf.Tensor, stop: tf.Tensor) -> Fetched:
            return reader(tf.constant(partition, tf.int64), start, stop)

        starts, stops = np.array(ranges, np.int64).T
        spans = tf.data.Dataset.from_tensor_slices((starts, stops))
        fetched = [
            Fetched(*(column.numpy() for column in columns))
            for columns in spans.map(read_range, num_parallel_calls=parallel)
        ]
        return [inside(rows, *its) for rows, its in zip(fetched, ranges, strict=True)]

    def of(self, topic: str) -> RangeReader:
        if topic not in self.made:
            tree = {"bootstrap_servers": self.servers, "topic": topic, "reader": self.name}
            self.made[topic] = open_reader(KafkaSettings.model_validate(tree), "penstock.tests")
        return self.made[topic]

    @property
    def tells_all(self) -> bool:
        return self.name == "confluent"

    def close(self) -> None:
        for reader in self.made.values():
            if self.name == "confluent":
                reader.close()  # type: ignore[attr-defined]


def inside(columns: Fetched, start: int, stop: int) -> list[Row]:
    rows = [
        Row(int(offset), value, key, opened(envelope, value, key, int(time_ms)))
        for value, key, offset, time_ms, envelope in zip(*columns, strict=True)
        if offset >= 0
    ]
    offsets = [row.offset for row in rows]
    assert offsets == sorted(set(offsets))
    assert all(offset >= start for offset in offsets)
    assert sum(offset >= stop for offset in offsets) <= 1, "more than one record behind the range"
    return [row for row in rows if row.offset < stop]


def offsets(rows: list[Row]) -> list[int]:
    return [row.offset for row in rows]


@pytest.fixture(params=["tensorflow-io", "confluent"])
def reader(request: pytest.FixtureRequest, kafka: Broker) -> Iterator[Reader]:
    made = Reader(request.param, kafka.bootstrap_servers)
    yield made
    made.close()


@pytest.fixture
def admin(kafka: Broker) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    yield client
    client.close()


def test_adjacent_ranges_deliver_every_record_once(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [f"value {n}".encode() for n in range(20)])
    found = [row for rows in reader(name, (0, 7), (7, 19), (19, 20)) for row in rows]
    assert [row[:3] for row in found] == [(n, f"value {n}".encode(), b"%d" % n) for n in range(20)]


def test_a_range_of_one_record_delivers_it(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"a", b"b", b"c"])
    assert [offsets(rows) for rows in reader(name, (0, 1), (1, 2), (2, 3))] == [[0], [1], [2]]


def test_ranges_may_be_read_in_any_order_and_again(reader: Reader, topic: TopicFactory) -> None:
    name = topic(2)
    produce(reader.servers, name, [b"x"] * 40, 2)
    ranges = [(10, 15), (0, 5), (10, 15), (19, 20), (3, 12)]
    assert [offsets(rows) for rows in reader(name, *ranges, partition=1)] == [list(range(*its)) for its in ranges]


def test_aborted_records_and_markers_are_holes(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"a"] * 4)
    produce(reader.servers, name, [b"aborted"] * 4, transaction=False)  # 4 to 7, marker 8
    produce(reader.servers, name, [b"b"] * 2, transaction=True)  # 9 and 10, marker 11
    whole, aborted, into_hole, marker = reader(name, (0, 12), (4, 9), (2, 6), (11, 12))
    assert offsets(whole) == [0, 1, 2, 3, 9, 10]
    assert offsets(aborted) == []
    assert offsets(into_hole) == [2, 3]
    assert offsets(marker) == []


def test_a_range_that_ends_in_aborted_records_at_the_logs_end_is_over(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"a"] * 3)
    produce(reader.servers, name, [b"aborted"] * 5, transaction=False)
    (rows,) = reader(name, (0, 9))
    assert offsets(rows) == [0, 1, 2]


def test_an_open_transaction_is_not_read(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"a"] * 3)
    producer = KafkaProducer(bootstrap_servers=reader.servers, transactional_id=f"open-{name}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(name, b"open", partition=0).get(10)
    (rows,) = reader(name, (0, 4))
    assert offsets(rows) == [0, 1, 2]
    producer.abort_transaction()
    producer.close()


def test_compacted_records_are_holes(reader: Reader, topic: TopicFactory, admin: KafkaAdminClient) -> None:
    config = {"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.001"}
    name = topic(1, {**config, "max.compaction.lag.ms": "200"})
    deadline = time.monotonic() + HANG_S
    rows: list[Row] = []
    number = 0
    while not rows or offsets(rows)[0] == 0:  # the cleaner comes round now and then, and never to the newest segment
        assert time.monotonic() < deadline, "never compacted"
        producer = KafkaProducer(bootstrap_servers=reader.servers)
        producer.send(name, b"%d" % number, key=b"same", partition=0).get(10)
        producer.close()
        number += 1
        nap(0.5)
        (rows,) = reader(name, (0, number))
    assert offsets(rows)[-1] == number - 1
    assert len(rows) < number
    hole = offsets(rows)[0]
    assert [offsets(found) for found in reader(name, (0, hole), (0, hole + 1))] == [[], [hole]]


def test_tombstones_empty_values_and_missing_keys(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    producer = KafkaProducer(bootstrap_servers=reader.servers)
    for value, key in ((None, b"k"), (b"", b"k"), (b"v", None), (b"v", b"")):
        producer.send(name, value, key=key, partition=0).get(10)
    producer.close()
    (rows,) = reader(name, (0, 4))
    assert [(row.value, row.key) for row in rows] == [(b"", b"k"), (b"", b"k"), (b"v", b""), (b"v", b"")]
    nulls = [row.original and (row.original.value, row.original.key) for row in rows]
    assert nulls == ([(None, b"k"), (b"", b"k"), (b"v", None), (b"v", b"")] if reader.tells_all else [None] * 4)


def test_headers_and_timestamps_come_along_where_the_reader_can(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    headers = [("camera", b"7"), ("camera", b""), ("größe", b"\x00\xff")]
    producer = KafkaProducer(bootstrap_servers=reader.servers)
    producer.send(name, b"v", key=b"k", headers=headers, timestamp_ms=1_700_000_000_000, partition=0).get(10)
    producer.close()
    ((row,),) = reader(name, (0, 1))
    expected = Original(b"v", b"k", headers, 1_700_000_000_000) if reader.tells_all else None
    assert row.original == expected


def test_a_header_whose_name_is_no_text_does_not_block_its_record(reader: Reader, topic: TopicFactory) -> None:
    class Bytes(str):
        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            return b"\xff\xfe"

    name = topic(1)
    producer = KafkaProducer(bootstrap_servers=reader.servers)
    futures = [producer.send(name, b"v", headers=[(Bytes("bad"), b"1")], partition=0) for _ in range(200)]
    for future in futures:
        future.get(10)
    producer.close()
    (rows,) = reader(name, (0, 200))
    assert [row.value for row in rows] == [b"v"] * 200


def test_large_values_arrive_whole(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1, {"max.message.bytes": str(30 << 20)})
    value = np.random.default_rng(0).bytes(12 << 20)
    producer = KafkaProducer(bootstrap_servers=reader.servers, max_request_size=30 << 20)
    for _ in range(3):
        producer.send(name, value, partition=0).get(30)
    producer.close()
    (rows,) = reader(name, (0, 3))
    assert [row.value == value for row in rows] == [True] * 3


def test_an_offset_that_retention_removed_is_an_error_and_the_next_range_is_fine(
    reader: Reader, topic: TopicFactory, admin: KafkaAdminClient
) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"a"] * 10)
    reader(name, (0, 10))
    admin.delete_records({TopicPartition(name, 0): 5})
    with pytest.raises(tf.errors.OpError, match="Offset out of range"):
        reader(name, (0, 10))
    assert [offsets(rows) for rows in reader(name, (5, 10))] == [[5, 6, 7, 8, 9]]


def test_beyond_the_logs_end_there_is_nothing(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"a"] * 5)
    over, at_end = reader(name, (3, 50), (5, 10))
    assert (offsets(over), at_end) == ([3, 4], [])
    with pytest.raises(tf.errors.OpError, match="Offset out of range"):
        reader(name, (6, 10))


def test_ranges_read_at_the_same_time_do_not_mix(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"%d" % n for n in range(400)])
    ranges = [(start, start + 10) for start in range(0, 400, 10)]
    found = reader(name, *ranges, parallel=4)
    assert [[row.value for row in rows] for rows in found] == [[b"%d" % n for n in range(*its)] for its in ranges]


def test_two_hundred_ranges_leave_neither_threads_nor_sockets(reader: Reader, topic: TopicFactory) -> None:
    name = topic(1)
    produce(reader.servers, name, [b"x"] * 2000)
    reader(name, *[(n, n + 10) for n in range(0, 100, 10)], parallel=2)
    before = threads(), sockets()
    for _ in range(2):
        reader(name, *[(n, n + 10) for n in range(0, 1000, 10)], parallel=2)
    reader.close()
    deadline = time.monotonic() + HANG_S
    while threads() > before[0] or sockets() > before[1]:
        assert time.monotonic() < deadline, f"{before} threads and sockets before, {threads()} and {sockets()} now"
        nap(0.1)


def test_a_topic_that_is_deleted_under_a_reader_is_an_error(kafka: Broker, admin: KafkaAdminClient) -> None:
    """The other reader hangs there, which is why the topic's id is compared before each round."""
    reader, name = Reader("confluent", kafka.bootstrap_servers), f"deleted-{time.monotonic_ns()}"
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    produce(kafka.bootstrap_servers, name, [b"x"] * 20)
    reader(name, (0, 10))
    admin.delete_topics([name])
    deadline = time.monotonic() + HANG_S
    error = ""
    while not error:
        assert time.monotonic() < deadline, "never told"
        try:
            reader(name, (10, 20))
        except tf.errors.OpError as caught:
            error = str(caught)
    assert f"partition 0 of {name}" in error
    reader.close()


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def sockets() -> int:
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum("socket" in str(link.readlink()) for link in links)
