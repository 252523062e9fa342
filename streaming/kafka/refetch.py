"""Reads single records again, by partition and offset, with a client that can be trusted to come back."""

import time
from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import client_config, translated
from streaming.settings import KafkaSettings

DEADLINE_S = 10.0


def fetch_records(
    kafka: KafkaSettings, client_id: str, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """(partition, offset) -> (value, key), b"" for null; those that the topic doesn't have any more are left out.

    Raises KafkaUnavailable.
    """
    with translated(f"reading topic {kafka.topic}"):
        consumer = KafkaConsumer(
            **client_config(kafka, client_id),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of a record that retention has removed meanwhile the next one tells
            isolation_level="read_committed",
        )
        try:
            found = {place: _record(consumer, TopicPartition(kafka.topic, place[0]), place[1]) for place in places}
        finally:
            consumer.close()
    return {place: record for place, record in found.items() if record is not None}


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
