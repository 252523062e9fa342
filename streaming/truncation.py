"""Is a log shorter than what was read of it? Then its offsets are, or will be, other records. Pure but for the clock.

An unclean leader election or a restored cluster does that. What `ListOffsets` says may also fall behind for a moment
after a change of leaders, so it must say so twice, with time between.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from streaming.ledger.ledger import Kind, Ledger

PATIENCE_S = 30.0
KNOWN = (Kind.TRAINED, Kind.HELD_OUT, Kind.DEAD_LETTERED, Kind.SKIPPED, Kind.ABSENT)  # read, or proven by reading on


class Cut(NamedTuple):
    """end: the lowest that the log was seen to have; highest: the offset behind the highest one that was known."""

    end: int
    highest: int


class Truncation:
    """Looks at every new answer about the log ends. clock: seconds."""

    def __init__(self, clock: Callable[[], float], patience_s: float = PATIENCE_S) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._since: dict[int, float] = {}
        self._lowest: dict[int, int] = {}  # producers go on: by now there may be other records behind that end
        self._seen: Mapping[int, int] | None = None

    def look(self, ledger: Ledger, high_watermarks: Mapping[int, int]) -> dict[int, Cut]:
        """The partitions that have been too short for long enough. An answer that was seen already says nothing."""
        if high_watermarks is self._seen:
            return {}
        self._seen, now = high_watermarks, self._clock()
        known = set(ledger.partitions())
        short = {p: end for p, end in high_watermarks.items() if p in known and known_to(ledger, p, end) > end}
        self._since = {partition: self._since.get(partition, now) for partition in short}
        self._lowest = {partition: min(end, self._lowest.get(partition, end)) for partition, end in short.items()}
        proven = (p for p in short if now - self._since[p] >= self._patience_s)
        return {p: Cut(self._lowest[p], known_to(ledger, p, self._lowest[p])) for p in proven}


def known_to(ledger: Ledger, partition: int, end: int) -> int:
    """The offset behind the highest one >= end whose record is known; `end` if there is none.

    Lost and excluded offsets were settled without looking at them, so they may lie beyond the end.
    """
    highest = ledger.highest(partition)
    if highest <= end:
        return end
    beyond = (ledger.of_kind(partition, kind, end, highest) for kind in KNOWN)
    return max((int(offsets.max()) + 1 for offsets in beyond if offsets), default=end)
