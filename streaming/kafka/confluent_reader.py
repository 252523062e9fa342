"""Reads a range with confluent-kafka, current librdkafka; the only file that knows it.

It tells headers, timestamps and nulls, checks host names, and its reads can't block for ever.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller
from typing import Any

import numpy as np
import tensorflow as tf
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streaming.arrays import Array
from streaming.errors import KafkaUnavailable
from streaming.kafka.librdkafka import fetching
from streaming.kafka.login import expires_at, read_token
from streaming.records.batches import Fetched
from streaming.records.original import Header, envelope
from streaming.settings import KafkaSettings

POLL_S = 0.5
SILENCE_S = 20.0  # a new leader takes 9 to 12 s
# confluent-kafka 2.16.1 answers with NULLs where a header's name is not UTF-8, and reading those kills the process.
# A plain call may let them pass (CPython checks less once it has specialised the call); methodcaller always checks.
_headers = methodcaller("headers")
COLUMNS = (tf.string, tf.string, tf.int64, tf.int64, tf.string)


class ConfluentReader:
    """`RangeReader` through consumers that are kept: opening one for each range takes 1.6 to 3 times as long.

    There are as many as ranges were ever read at once. They never join their group; a failed one is not used again.
    """

    def __init__(self, kafka: KafkaSettings, group_id: str) -> None:
        self._kafka = kafka
        self._topic = kafka.topic
        self._config = fetching(kafka) | {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": group_id,
            "auto.offset.reset": "error",
            "enable.auto.offset.store": "false",
            "enable.partition.eof": "true",  # so that a range whose end is a hole at the log's end is over
            "isolation.level": "read_committed",
            "allow.auto.create.topics": "false",
            "ssl.endpoint.identification.algorithm": "https",
            # Enough for a range, and little is fetched in vain behind it.
            "queued.min.messages": str(kafka.range_records),
            "queued.max.messages.kbytes": str(2 * kafka.range_bytes // 1024),
            "fetch.queue.backoff.ms": "1",
            "log_level": "2",  # what it would print stands in the errors
        }
        self._idle: list[Consumer] = []
        self._lock = threading.Lock()
        self._last_error = "no answer"

    def __call__(self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        columns = tf.numpy_function(self._read, [partition, start, stop], COLUMNS)
        for column in columns:
            column.set_shape([None])
        return Fetched(*columns)

    def close(self) -> None:
        """Close the consumers that aren't reading just now; reading opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for consumer in idle:
            consumer.close()

    def _read(self, partition: int, start: int, stop: int) -> tuple[Array, ...]:
        try:
            with self._consumer() as consumer:
                consumer.assign([TopicPartition(self._topic, int(partition), int(start))])
                messages = list(self._messages(consumer, int(start), int(stop)))
                consumer.unassign()  # else it would go on fetching
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            raise KafkaUnavailable(f"partition {partition} of {self._topic}, offset {start}: {reason.str()}") from error
        return _columns(messages)

    def _messages(self, consumer: Consumer, start: int, stop: int) -> Iterator[Message]:
        """The records in [start, stop), and where `stop` lies in a hole the first one behind it.

        Raises KafkaException, also when nothing comes any more.
        """
        reached, alive_at = start, time.monotonic()
        while reached < stop:
            message = consumer.poll(POLL_S)
            if message is None:
                if time.monotonic() - alive_at > SILENCE_S:
                    silence = f"nothing came for {SILENCE_S:.0f} s: {self._last_error}"
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, silence))
                continue
            alive_at = time.monotonic()
            error = message.error()
            if error is None:
                yield message
                reached = _offset(message) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise KafkaException(error)

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        with self._lock:
            consumer = self._idle.pop() if self._idle else None
        consumer = consumer or Consumer(self._config | self._callbacks)
        try:
            yield consumer
        except BaseException:
            consumer.close()
            raise
        with self._lock:
            self._idle.append(consumer)

    @property
    def _callbacks(self) -> dict[str, Any]:
        token = {"oauth_cb": self._token} if self._kafka.sasl_mechanism == "OAUTHBEARER" else {}
        return {"error_cb": self._note, **token}

    def _token(self, _: str) -> tuple[str, float]:
        """Asked for at the start and at 80 % of the life of the one before, while something is being read."""
        token = read_token(self._kafka)
        return token, expires_at(token)

    def _note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # it follows the one that says why
            self._last_error = error.str()


def _columns(messages: list[Message]) -> tuple[Array, ...]:
    """As `Fetched` orders them."""
    values = np.array([message.value() or b"" for message in messages], object)
    keys = np.array([message.key() or b"" for message in messages], object)
    offsets = np.array([_offset(message) for message in messages], np.int64)
    times = np.array([message.timestamp()[1] for message in messages], np.int64)
    envelopes = np.array([_envelope(message) for message in messages], object)
    return values, keys, offsets, times, envelopes


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None, "a record that was read has an offset"
    return offset


def _envelope(message: Message) -> bytes:
    try:
        headers: list[Header] = _headers(message) or []
    except SystemError:  # a name that is no text; the record may be trained all the same
        headers = []
    return envelope(message.value(), message.key(), headers)
