"""Reads a range with tensorflow-io's KafkaDataset; the only file that knows it, and its inclusive limits.

Its client is librdkafka 1.5.0. A read can block for ever, so it runs on tf.data's threads and is watched from outside.
"""

import warnings
from collections.abc import Sequence

import tensorflow as tf
from tensorflow_io.kafka import KafkaDataset

from streaming.errors import SettingsError
from streaming.records.batches import Fetched
from streaming.settings import KafkaSettings

NAME = "tensorflow-io"

BASE = (
    "enable.auto.commit=false",  # it would commit what was merely read
    "check.crcs=true",
    "fetch.wait.max.ms=10",  # the last record of a log alone takes 507 ms with the default of 500
    "reconnect.backoff.max.ms=1000",
)


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
        self._config = [*BASE, f"queued.max.messages.kbytes={queue_kb}", *security_config(kafka)]

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


def security_config(kafka: KafkaSettings) -> Sequence[str]:
    """librdkafka's names for the security settings. Raises SettingsError for a value that this client can't take."""
    named = {
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password and kafka.sasl_password.get_secret_value(),
        "ssl.ca.location": kafka.ssl_cafile,
        "ssl.certificate.location": kafka.ssl_certfile,
        "ssl.key.location": kafka.ssl_keyfile,
        "ssl.key.password": kafka.ssl_key_password and kafka.ssl_key_password.get_secret_value(),
    }
    present = {name: str(value) for name, value in named.items() if value is not None}
    for name, value in present.items():
        if "=" in value:  # its own message would repeat the secret
            raise SettingsError(f"kafka {name}: the tensorflow-io reader can't take a value with '=' in it")
    return [f"{name}={value}" for name, value in present.items()]
