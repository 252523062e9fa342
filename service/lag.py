"""How far the log is ahead, in records and in seconds, and how far retention is behind.

The log's ends and what retention leaves come from outside; the rest is arithmetic.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from streaming.control.messages import PartitionStatus
from streaming.kafka.headroom import UNLIMITED, Headroom

SAMPLES = 512
FIRST_LOOK_S = 10.0


class Watermarks(Protocol):
    """Where the log ends, as a read_committed consumer sees it."""

    def log_ends(self) -> Mapping[int, int]:
        """Partition -> last stable offset; empty while unknown."""

    def log_starts(self) -> Mapping[int, int]:
        """Partition -> first offset that is still there; empty while unknown."""

    def error(self) -> str | None:
        """Why the newest attempt to find out failed; None when it didn't."""


class PartitionLag(NamedTuple):
    """seconds: since the log first went past the position. All None while the log's end is unknown.
    headroom: until retention may remove the record at the position; None while unknown."""

    log_end: int | None
    records: int | None
    seconds: float | None
    headroom: Headroom | None = None


class Lag:
    """Remembers when each partition's log reached which end. `now`: any steady clock, seconds."""

    def __init__(self) -> None:
        self._ends: dict[int, deque[tuple[float, int]]] = {}
        self.headrooms: Mapping[int, Headroom] = {}
        self._log_starts: Mapping[int, int] = {}
        self.error: str | None = None

    def look(self, watermarks: Watermarks, now: float) -> None:
        self.observe(watermarks.log_ends(), now)
        self._log_starts = watermarks.log_starts()
        self.error = watermarks.error()

    def starts(self) -> Mapping[int, int] | None:
        """Partition -> where the log begins; None while nobody knows that, or what is known may be old."""
        return self._log_starts if self._log_starts and self.error is None else None

    def ends(self) -> Mapping[int, int] | None:
        """Partition -> where the log ends; None while nobody knows that, or what is known may be old."""
        known = {partition: history[-1][1] for partition, history in self._ends.items()}
        return known if known and self.error is None else None

    async def first_look(self, longest_s: float = FIRST_LOOK_S) -> None:
        """Wait until it has been tried to find that out, and not for long."""
        try:
            async with asyncio.timeout(longest_s):
                while not self._log_starts and self.error is None:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return

    def observe(self, ends: Mapping[int, int], now: float) -> None:
        for partition, end in ends.items():
            history = self._ends.setdefault(partition, deque())
            if history and history[-1][1] == end:
                continue
            if history and history[-1][1] > end:
                history.clear()  # the log was cut; what was known of the old one is worthless
            history.append((now, end))
            if len(history) > SAMPLES:
                _thin_out(history)

    def of(self, partition: PartitionStatus, now: float) -> PartitionLag:
        """The worker may have seen the log grow before the sampling did: an end is never below a position."""
        history = self._ends.get(partition.partition)
        if not history:
            return PartitionLag(None, None, None)
        position = partition.position
        log_end = max(history[-1][1], position)
        passed = next((at for at, end in history if end > position), now)
        headroom = self.headrooms.get(partition.partition)
        if headroom is not None and log_end == position:
            headroom = UNLIMITED
        return PartitionLag(log_end, log_end - position, max(0.0, now - passed), headroom)


def _thin_out(history: deque[tuple[float, int]]) -> None:
    """Drop every second sample of the older half: a long lag is known less exactly than a short one."""
    half = len(history) // 2
    kept = [sample for index, sample in enumerate(history) if index >= half or index % 2 == 0]
    history.clear()
    history.extend(kept)
