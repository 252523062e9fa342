"""A topic in memory, read as KafkaDataset reads: holes, overshoot, an empty end of each range, and errors."""

import threading
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from streaming.arrays import Array


class MemoryTopic:
    """`RangeReader` over records by partition and offset. Offsets below an end that aren't there are holes."""

    def __init__(self, records: Mapping[int, Mapping[int, bytes]], ends: Mapping[int, int]) -> None:
        self.records = records
        self.ends = dict(ends)
        self.ranges_read = 0
        self.failing = False
        self.blocked: threading.Event | None = None

    def __call__(
        self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        columns = tf.numpy_function(self._read, [partition, start, stop], [tf.string, tf.string, tf.int64])
        for column in columns:
            column.set_shape([None])
        value, key, offset = columns
        return value, key, offset

    def _read(self, partition: int, start: int, stop: int) -> tuple[Array, Array, Array]:
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
        return np.array(values, object), np.array(keys, object), np.array(offsets, np.int64)
