"""Reads a range with tensorflow-io's KafkaDataset; the only file that knows it, and its inclusive limits.

Its client is librdkafka 1.5.0. A read can block for ever, so it runs on tf.data's threads and is watched from outside.
"""

import warnings

import tensorflow as tf
from tensorflow_io.kafka import KafkaDataset

from streaming.kafka.librdkafka import fetching
from streaming.records.batches import Fetched
from streaming.settings import KafkaSettings


class TfioReader:
    """`RangeReader` through KafkaDataset.

    The dataset is opened and exhausted inside one call (`get_single_element`): an iterator that failed must never be
    asked again, for it would hang; here it dies with the call.
    """

    def __init__(self, kafka: KafkaSettings, group_id: str) -> None:
        self._kafka = kafka
        self._group_id = group_id
        # A full queue backs off for a fixed second, so it must hold a range and one more fetch.
        queue_kb = max(65_536, 4 * kafka.range_bytes // 1024)
        config = fetching(kafka) | {"queued.max.messages.kbytes": str(queue_kb)}
        self._config = [f"{name}={value}" for name, value in config.items()]

    def __call__(self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        text = tf.strings.as_string
        # The limit is the inclusive last offset, and start == limit reads nothing: one record needs a larger one.
        limit = tf.maximum(stop - 1, start + 1)
        spec = tf.strings.join([self._kafka.topic, text(partition), text(start), text(limit)], ":")
        queued = tf.strings.join(["queued.min.messages=", text(stop - start + 1)])
        with warnings.catch_warnings():
            # It is deprecated for a class that tells no offsets.
            warnings.filterwarnings("ignore", "Use tfio.IODataset", UserWarning)
            dataset = KafkaDataset(
                tf.reshape(spec, [1]),
                servers=self._kafka.bootstrap_servers,
                group=self._group_id,
                eof=True,
                timeout=1000,
                config_global=[*self._config, queued],
                config_topic=["auto.offset.reset=error"],
                message_key=True,
                message_offset=True,
            )
        # A range of holes alone delivers nothing, and get_single_element refuses an empty dataset.
        dataset = dataset.concatenate(tf.data.Dataset.from_tensors((b"", b"", b"0:-1")))
        value, key, where = dataset.batch(1 << 30).get_single_element()
        offset = tf.strings.to_number(tf.strings.regex_replace(where, "^.*:", ""), tf.int64)
        # It tells neither timestamps nor headers.
        return Fetched(value, key, offset, -tf.ones_like(offset), tf.zeros_like(key))
