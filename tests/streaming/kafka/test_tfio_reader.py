"""KafkaDataset behind half-open ranges: what a range delivers, on a real broker."""

import numpy as np
import pytest
import tensorflow as tf

from streaming.kafka.tfio_reader import TfioReader
from streaming.records.batches import Fetched
from streaming.settings import KafkaSettings
from tests.conftest import Broker, TopicFactory
from tests.line.line import produce

pytestmark = [pytest.mark.kafka, pytest.mark.tf]


def read(servers: str, topic: str, *ranges: tuple[int, int]) -> list[list[tuple[int, bytes, bytes]]]:
    """(offset, key, value) of each range of partition 0, as the pipeline reads them."""
    reader = TfioReader(KafkaSettings.model_validate({"bootstrap_servers": servers, "topic": topic}), "penstock.tests")

    def read_range(start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        return reader(tf.constant(0, tf.int64), start, stop)

    starts, stops = np.array(ranges, np.int64).T
    spans = tf.data.Dataset.from_tensor_slices((starts, stops))
    delivered = []
    for value, key, offset, *_ in spans.map(read_range):
        rows = zip(offset.numpy().tolist(), key.numpy(), value.numpy(), strict=True)
        delivered.append([row for row in rows if row[0] >= 0])
    return delivered


def test_adjacent_ranges_deliver_every_record_with_its_key_and_offset(kafka: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [f"value {n}".encode() for n in range(20)])
    found = read(kafka.bootstrap_servers, name, (0, 7), (7, 19), (19, 20))
    inside = [
        row
        for rows, (start, stop) in zip(found, [(0, 7), (7, 19), (19, 20)], strict=True)
        for row in rows
        if start <= row[0] < stop
    ]
    assert inside == [(n, str(n).encode(), f"value {n}".encode()) for n in range(20)]


def test_a_range_of_one_record_delivers_it(kafka: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"a", b"b", b"c"])
    (rows,) = read(kafka.bootstrap_servers, name, (1, 2))
    assert (1, b"1", b"b") in rows


def test_holes_are_not_delivered_and_a_range_of_holes_alone_ends(kafka: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"a"] * 4)
    produce(kafka.bootstrap_servers, name, [b"aborted"] * 4, transaction=False)
    produce(kafka.bootstrap_servers, name, [b"b"] * 2, transaction=True)  # offsets 9 and 10, marker 11
    whole, holes, tail = read(kafka.bootstrap_servers, name, (0, 12), (4, 9), (11, 12))
    assert [offset for offset, _, _ in whole] == [0, 1, 2, 3, 9, 10]
    assert [offset for offset, _, _ in holes if 4 <= offset < 9] == []
    assert tail == []


def test_an_offset_that_retention_removed_is_an_error(kafka: Broker, topic: TopicFactory) -> None:
    from kafka import KafkaAdminClient, TopicPartition

    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"a"] * 10)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.delete_records({TopicPartition(name, 0): 5})
    admin.close()
    with pytest.raises(tf.errors.OpError, match="Offset out of range"):
        read(kafka.bootstrap_servers, name, (0, 10))
