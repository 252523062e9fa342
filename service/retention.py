"""Warns long before retention removes what isn't trained yet, whatever the worker does or doesn't."""

import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import structlog

from service.lag import Lag
from service.worker_view import WorkerView
from streaming.control.messages import Problem
from streaming.kafka.headroom import Headroom

NEAR = 0.2  # of the retention is left
OTHER_OFFSETS = frozenset({"topic-recreated", "topic-changed"})  # then the positions are not about this log

_log = structlog.get_logger()


class Headrooms(Protocol):
    """Finds out how long retention leaves the record at each position alone."""

    def look_at(self, positions: Mapping[int, int]) -> None:
        """From now on these count, partition -> offset."""

    def headrooms(self) -> Mapping[int, Headroom]:
        """The newest answers; a partition has none while it is unknown."""

    def failure(self) -> str | None:
        """Why there will be no more answers; None while there may be."""


class _Near(NamedTuple):
    seconds: float
    partition: int
    position: int


class RetentionGuard:
    """Belongs to the event loop. `view.expiry` is its word; `lag` passes the figures on to metrics and status."""

    def __init__(self, view: WorkerView, lag: Lag, source: Headrooms) -> None:
        self._view = view
        self._lag = lag
        self._source = source

    def tick(self) -> None:
        """Show the present positions and take in the newest answers; call it about every second."""
        unwatched = self._source.failure()
        if unwatched is not None:
            self._lag.headrooms = {}
            self._tell(Problem(type="retention-unwatched", detail=unwatched, since=time.time()))
            return
        failure = self._view.failure
        mine = [] if failure is not None and failure.type in OTHER_OFFSETS else self._view.partitions
        self._source.look_at({each.partition: each.position for each in mine})
        self._lag.headrooms = self._source.headrooms() if mine else {}
        if mine and not self._lag.headrooms:
            return  # Kafka is away: what was near before still is, and nothing new is known
        now = time.monotonic()
        near = []
        for each in mine:
            lag = self._lag.of(each, now)
            if lag.headroom is not None and lag.records and lag.headroom.left < NEAR:
                near.append(_Near(lag.headroom.seconds, each.partition, each.position))
        if near:
            detail = _warning(min(near), len(near))
            facts = {"partitions": [each.partition for each in near]}
            self._tell(Problem(type="retention-near", detail=detail, since=time.time(), facts=facts))
        else:
            self._over()

    def _over(self) -> None:
        before = self._view.expiry
        if before is not None:
            _log.info("problem_over", problem=before.type, seconds=round(time.time() - before.since, 1))
        self._view.expiry = None

    def _tell(self, problem: Problem) -> None:
        before = self._view.expiry
        if before is not None and before.type == problem.type:
            problem = problem.model_copy(update={"since": before.since})
        else:
            _log.warning("problem", problem=problem.type, detail=problem.detail)
        self._view.expiry = problem


def _warning(nearest: _Near, partitions: int) -> str:
    others = f"; {partitions - 1} more partitions are near it" if partitions > 1 else ""
    return (
        f"retention may remove what isn't trained yet in {duration(nearest.seconds)}: "
        f"partition {nearest.partition} from offset {nearest.position}{others}"
    )


def duration(seconds: float) -> str:
    """For people: `45 s`, `12 min`, `3.5 h`, `6.2 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
