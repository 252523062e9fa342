"""What leaves the chain: a decoded batch, and with it the records that left the batch; and records held out of it."""

from typing import NamedTuple

from streaming.arrays import Array


class Encoded(NamedTuple):
    """Records before they are decoded. offset, timestamp_ms (-1 = unknown): int64[K]; value, key, envelope
    (see `records/original.py`): bytes objects [K]."""

    offset: Array
    value: Array
    key: Array
    timestamp_ms: Array
    envelope: Array


class Rejected(NamedTuple):
    """Records that left a batch. partition, offset, range_id, timestamp_ms (-1 = unknown): int64[M]; reason, detail,
    value, key, envelope: bytes objects [M], value and key empty where the envelope is (see `records/original.py`)."""

    partition: Array
    offset: Array
    range_id: Array
    timestamp_ms: Array
    reason: Array
    detail: Array
    value: Array
    key: Array
    envelope: Array


class Batch(NamedTuple):
    """images: uint8[N, S, S, 3]; targets: uint8[N, S, S] masks or int64[N] labels; partition, offset, range_id,
    event_time_ms (the record's own, else Kafka's timestamp; -1 = neither is known): int64[N]; and what left it."""

    images: Array
    targets: Array
    partition: Array
    offset: Array
    range_id: Array
    event_time_ms: Array
    rejected: Rejected
