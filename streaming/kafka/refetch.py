"""Reads single records again, by partition and offset, with a client that can be trusted to come back."""

import time
from collections.abc import Iterable
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import translated
from streaming.kafka.consumer import open_consumer
from streaming.settings import KafkaSettings

DEADLINE_S = 10.0

_log = structlog.get_logger()


def fetch_records(
    kafka: KafkaSettings, client_id: str, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """(partition, offset) -> (value, key), b"" for null; left out are those that the topic doesn't have any more, and
    damaged ones.

    Raises KafkaUnavailable.
    """
    with translated(f"reading topic {kafka.topic}"):
        consumer = _open(kafka, client_id)
        found: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        try:
            for partition, offset in places:
                try:
                    record = _record(consumer, TopicPartition(kafka.topic, partition), offset)
                except CorruptRecordError as error:
                    _log.warning("record_unreadable", partition=partition, offset=offset, detail=str(error))
                    consumer.close()
                    consumer = _open(kafka, client_id)
                    continue
                if record is not None:
                    found[partition, offset] = record
        finally:
            consumer.close()
    return found


def _record(consumer: Any, tp: TopicPartition, offset: int) -> tuple[bytes, bytes] | None:
    consumer.assign([tp])
    consumer.seek(tp, offset)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for record in consumer.poll(timeout_ms=200, max_records=1).get(tp, []):
            return (record.value or b"", record.key or b"") if record.offset == offset else None
        if consumer.position(tp, timeout_ms=1000) > offset:
            return None
    raise KafkaUnavailable(f"partition {tp.partition} of {tp.topic}: no answer about offset {offset}")


def _open(kafka: KafkaSettings, client_id: str) -> Any:
    """Of a record that retention has removed meanwhile the next one tells."""
    return open_consumer(kafka, client_id, auto_offset_reset="earliest")
