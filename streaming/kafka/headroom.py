"""How long retention will leave the record at a position alone: arithmetic on what the broker says. Pure.

By time, Kafka removes a segment once its newest record is older than `retention.ms`; by size, the oldest segment as
long as the rest still holds `retention.bytes`. Segments go whole, at intervals, the one being written last. So the
record itself may go later than told here, never earlier: by time this is a lower bound. By size it is an estimate: it
takes records to be of equal size, and the topic to grow as it does now. `delete_records` and a change of the topic's
settings can't be foreseen. A topic that is only compacted has no such limit; but of its tombstones those are removed
that are older than `delete.retention.ms`, and they train nothing.
"""

import math
from collections import deque
from typing import NamedTuple

WINDOW_S = 600.0


class Limits(NamedTuple):
    """A topic's retention. time_s: age in seconds; size_bytes: of each partition; None = no such limit."""

    time_s: float | None
    size_bytes: int | None


class Backlog(NamedTuple):
    """What lies behind the position in one partition.

    timestamp_s: of the record at the position, as Kafka counts its age (CreateTime or LogAppendTime), Unix seconds;
    size_bytes: from the position to the log's end; growth_bytes_per_s: as seen lately. None = unknown.
    """

    timestamp_s: float | None
    size_bytes: float | None
    growth_bytes_per_s: float | None


class Headroom(NamedTuple):
    """seconds: until retention may remove the record at the position; inf where nothing will.
    left: how much of the limit that is nearest is left, 0 to 1."""

    seconds: float
    left: float


UNLIMITED = Headroom(math.inf, 1.0)
OVERTAKEN = Headroom(0.0, 0.0)


def headroom(limits: Limits, backlog: Backlog, now_s: float) -> Headroom | None:
    """The nearest of the limits that can be known; None when there is a limit and none can be known.

    A timestamp in the future counts as now: Kafka would keep such a record for longer, but clocks differ.
    """
    age_s = None if backlog.timestamp_s is None else max(0.0, now_s - backlog.timestamp_s)
    found = [
        limit
        for limit in (_by_time(limits.time_s, age_s), _by_size(limits.size_bytes, backlog, age_s))
        if limit is not None
    ]
    if not found:
        return UNLIMITED if limits == Limits(None, None) else None
    return Headroom(min(each.seconds for each in found), min(each.left for each in found))


def _by_time(limit_s: float | None, age_s: float | None) -> Headroom | None:
    if limit_s is None or age_s is None:
        return None
    if age_s >= limit_s:
        return OVERTAKEN
    return Headroom(limit_s - age_s, 1 - age_s / limit_s)


def _by_size(limit_bytes: int | None, backlog: Backlog, age_s: float | None) -> Headroom | None:
    """The topic has grown by the backlog in the time that its oldest record is old, or faster of late."""
    if limit_bytes is None or backlog.size_bytes is None:
        return None
    if backlog.size_bytes >= limit_bytes:
        return OVERTAKEN
    overall = backlog.size_bytes / age_s if age_s else 0.0
    growth = max(overall, backlog.growth_bytes_per_s or 0.0)
    left_bytes = limit_bytes - backlog.size_bytes
    return Headroom(left_bytes / growth if growth else math.inf, left_bytes / limit_bytes)


class Growth:
    """How fast a log has grown in the last ten minutes, from its ends. `now`: any steady clock, seconds."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque()

    def observe(self, log_end: int, now: float) -> float | None:
        """Offsets a second up to now; None at first."""
        self._ends.append((now, log_end))
        while self._ends[0][0] < now - WINDOW_S:
            self._ends.popleft()
        (then, first) = self._ends[0]
        return max(0, log_end - first) / (now - then) if now > then else None
