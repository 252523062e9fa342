"""Proves missing tails: what a range did not deliver at its end is absent only once another consumer has passed it.

A lagging new leader looks just like a hole, so the proof is a read_committed consumer whose own position has moved
beyond the tail. Its position never jumps (`auto_offset_reset = none`): what retention has removed isn't absent.
"""

import queue
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import OffsetOutOfRangeError

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import translated
from streaming.kafka.consumer import open_consumer
from streaming.settings import KafkaSettings

DEADLINE_S = 5.0


class Tail(NamedTuple):
    """Offsets [start, stop) that a range did not deliver, though nothing behind them proves their absence."""

    partition: int
    start: int
    stop: int


class TailProofs:
    """`ask` and `answers` are for any thread, `answer_next` and `close` for one that may wait for Kafka."""

    def __init__(self, kafka: KafkaSettings, client_id: str, deadline_s: float = DEADLINE_S) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._deadline_s = deadline_s
        self._asked: queue.Queue[Tail] = queue.Queue()
        self._answers: queue.Queue[tuple[Tail, int | None]] = queue.Queue()
        self._consumer: Any = None

    def ask(self, tail: Tail) -> None:
        self._asked.put(tail)

    def answers(self) -> Iterator[tuple[Tail, int | None]]:
        """Answers since the last call: the tail, and None when all of it is absent.

        Otherwise the first of its offsets that does exist; or, where retention has removed its beginning, the
        offset at which the log begins now; or, where the log ends within it or before it, the first that may come yet.
        """
        with suppress(queue.Empty):
            while True:
                yield self._answers.get_nowait()

    def answer_next(self) -> bool:
        """Answer one; False when nothing is asked. Raises KafkaUnavailable, and the tail stays asked."""
        try:
            tail = self._asked.get_nowait()
        except queue.Empty:
            return False
        try:
            with translated(f"reading topic {self._kafka.topic}"):
                found = self._first_record(tail)
        except KafkaUnavailable:
            self._asked.put(tail)
            self.close()  # it may have raised CorruptRecordError: see `open_consumer`
            raise
        self._answers.put((tail, found))
        return True

    def close(self) -> None:
        """The next proof connects anew."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _first_record(self, tail: Tail) -> int | None:
        """See `answers`. Raises KafkaUnavailable when the consumer doesn't get beyond the tail."""
        consumer, tp = self._open_consumer(), TopicPartition(self._kafka.topic, tail.partition)
        consumer.assign([tp])
        consumer.seek(tp, tail.start)
        deadline = time.monotonic() + self._deadline_s
        try:
            while time.monotonic() < deadline:
                for record in consumer.poll(timeout_ms=200, max_records=1).get(tp, []):
                    return int(record.offset) if record.offset < tail.stop else None
                if consumer.position(tp, timeout_ms=1000) >= tail.stop:
                    return None
        except OffsetOutOfRangeError:
            log_start = int(consumer.beginning_offsets([tp])[tp])
            if log_start > tail.start:
                return log_start
        end = int(consumer.end_offsets([tp])[tp])
        if end < tail.stop:  # a lagging leader, or a log that was cut: not absent, and to be planned again
            return max(end, tail.start)
        raise KafkaUnavailable(
            f"partition {tail.partition} of {self._kafka.topic}: no answer about offsets from {tail.start}"
        )

    def _open_consumer(self) -> Any:
        if self._consumer is None:
            self._consumer = open_consumer(self._kafka, self._client_id, max_partition_fetch_bytes=1 << 16)
        return self._consumer
