"""A topic in memory, read as KafkaDataset reads: holes, overshoot, an empty end of each range, and errors."""

import threading
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from streaming.arrays import Array
from streaming.records.batches import Fetched
from streaming.records.original import Header, envelope

TIME_MS = 1_700_000_000_000
HEADERS: list[Header] = [("camera", b"7"), ("camera", None)]


class MemoryTopic:
    """`RangeReader` over records by partition and offset. Offsets below an end that aren't there are holes.

    tells_all: as the confluent reader, it knows headers and timestamps (TIME_MS + offset).
    """

    def __init__(
        self, records: Mapping[int, Mapping[int, bytes]], ends: Mapping[int, int], *, tells_all: bool = False
    ) -> None:
        self.records = records
        self.tells_all = tells_all
        self.ends = dict(ends)
        self.ranges_read = 0
        self.failing = False
        self.blocked: threading.Event | None = None

    def __call__(self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        kinds = [tf.string, tf.string, tf.int64, tf.int64, tf.string]
        columns = tf.numpy_function(self._read, [partition, start, stop], kinds)
        for column in columns:
            column.set_shape([None])
        return Fetched(*columns)

    def _read(self, partition: int, start: int, stop: int) -> tuple[Array, ...]:
        if self.blocked is not None:
            self.blocked.wait()
        if self.failing:
            raise RuntimeError(f"Failed to consume: partition {partition}\nOffset out of range")
        self.ranges_read += 1
        held = self.records[int(partition)]
        offsets = [offset for offset in range(int(start), int(stop)) if offset in held]
        if int(stop) - 1 not in held:  # the limit lies in a hole: one more is delivered
            offsets += [next((offset for offset in sorted(held) if offset >= stop), -1)]
        offsets += [-1]
        values = [held.get(offset, b"") for offset in offsets]
        keys = [b"%d" % offset for offset in offsets]
        known = self.tells_all
        envelopes = [envelope(value, key, HEADERS) if known else b"" for value, key in zip(values, keys, strict=True)]
        times = np.array([TIME_MS + offset if known else -1 for offset in offsets], np.int64)
        texts = (np.array(column, object) for column in (values, keys, envelopes))
        value, key, headers = texts
        return value, key, np.array(offsets, np.int64), times, headers
