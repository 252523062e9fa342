"""Reads records again by their offsets, many at once, for letters whose originals the reader didn't tell."""

import time
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import translated
from streaming.kafka.consumer import open_consumer
from streaming.kafka.letter import Missing
from streaming.records.original import Original
from streaming.settings import KafkaSettings

DEADLINE_S = 5.0  # without any progress
NEAR = 64  # offsets: so far ahead it is quicker to read on than to ask for another place
FETCH_BYTES = 1 << 18  # most of it is read in vain where bad records stand alone


class Originals:
    """Belongs to one thread."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._consumer: Any = None

    def find(self, partition: int, offsets: Collection[int]) -> Iterator[tuple[int, Original | Missing]]:
        """Offsets with what stands there, ascending, in one pass. Raises KafkaUnavailable; what came before holds."""
        with translated(f"reading topic {self._kafka.topic} again"):
            yield from self._find(TopicPartition(self._kafka.topic, partition), deque(sorted(offsets)))

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _find(self, place: TopicPartition, owed: deque[int]) -> Iterator[tuple[int, Original | Missing]]:
        consumer = self._open(place)
        position = consumer.beginning_offsets([place])[place]
        yield from self._gone(owed, position)
        moved_at, sought = time.monotonic(), False
        while owed:
            if not sought or owed[0] - position > NEAR:
                consumer.seek(place, owed[0])
                position, moved_at, sought = owed[0], time.monotonic(), True
            try:
                records = consumer.poll(timeout_ms=200).get(place, [])
            except CorruptRecordError:
                if position == owed[0]:  # else what is damaged lies before it
                    yield owed.popleft(), Missing.UNREADABLE
                self.close()
                consumer, sought = self._open(place), False
                continue
            for record in records:
                yield from self._gone(owed, record.offset)
                if owed and owed[0] == record.offset:
                    headers = list(record.headers)
                    yield owed.popleft(), Original(record.value, record.key, headers, record.timestamp)
            before, position = position, consumer.position(place)
            yield from self._gone(owed, position)
            if records or position != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > DEADLINE_S:
                raise KafkaUnavailable(f"partition {place.partition} offset {owed[0]} can't be read again")

    def _gone(self, owed: deque[int], position: int) -> Iterator[tuple[int, Missing]]:
        """What lies before an offset that the consumer has reached doesn't exist any more."""
        while owed and owed[0] < position:
            yield owed.popleft(), Missing.GONE

    def _open(self, place: TopicPartition) -> Any:
        if self._consumer is None:
            self._consumer = open_consumer(self._kafka, self._client_id, max_partition_fetch_bytes=FETCH_BYTES)
        self._consumer.assign([place])
        return self._consumer
