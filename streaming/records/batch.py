"""What leaves the chain: a decoded batch, and with it the records that left the batch."""

from typing import NamedTuple

from streaming.arrays import Array


class Rejected(NamedTuple):
    """Records that left a batch. partition, offset, range_id: int64[M]; reason, detail: bytes objects [M]."""

    partition: Array
    offset: Array
    range_id: Array
    reason: Array
    detail: Array


class Batch(NamedTuple):
    """images: uint8[N, S, S, 3]; targets: uint8[N, S, S] masks or int64[N] labels; partition, offset, range_id,
    event_time_ms (-1 = unknown): int64[N]; and what left the batch."""

    images: Array
    targets: Array
    partition: Array
    offset: Array
    range_id: Array
    event_time_ms: Array
    rejected: Rejected
