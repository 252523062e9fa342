"""Durable positions in the consumer group, where Kafka's own tools look. The checkpoint stays the truth."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import Broker

REPEAT_S = 24 * 3600.0  # brokers forget a group's offsets after 7 days (offsets.retention.minutes)
RETRY_S = 5.0  # an attempt may keep its thread waiting for as long

_log = structlog.get_logger()


class Positions(NamedTuple):
    """offsets: partition -> position; text: up to 4,096 bytes beside each; topic_id: whose offsets they are."""

    offsets: Mapping[int, int]
    text: str
    topic_id: str


class Mirror:
    """`put` is for any thread, `work` for the one that owns the broker connection. clock: seconds.

    A newer `put` replaces one that waits. error: why the newest attempt failed, or the first one will; None otherwise.
    """

    def __init__(self, group_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._group_id = group_id
        self._clock = clock
        self._newest: Positions | None = None
        self._written: Positions | None = None
        self._due_at = float("-inf")
        self.error: str | None = None

    def put(self, positions: Positions) -> None:
        self._newest = positions

    def doubt(self, error: str) -> None:
        """What will keep positions from being written, known before there are any."""
        _log.warning("mirror_failed", group_id=self._group_id, detail=error)
        self.error = error

    def work(self, broker: Broker, topic_id: str) -> None:
        """Write what is new, what failed 5 s ago, and what was written a day ago, unless it is about another topic than
        the present one. Raises nothing."""
        newest, now = self._newest, self._clock()
        fresh = newest is not self._written and self.error is None
        if newest is None or newest.topic_id != topic_id or (now < self._due_at and not fresh):
            return
        try:
            broker.mirror(self._group_id, newest.offsets, newest.text)
        except KafkaUnavailable as error:
            if self.error is None:
                _log.warning("mirror_failed", group_id=self._group_id, detail=str(error))
            self.error, self._due_at = str(error), now + RETRY_S
        else:
            self.error, self._due_at, self._written = None, now + REPEAT_S, newest
