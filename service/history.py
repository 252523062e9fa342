"""What the charts show: a few values over the last day, the older the coarser. Pure; nothing outlives the service."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

SERIES = (
    *("records_per_s", "loss", "prequential_iou", "holdout_iou"),
    *("lag_records", "lag_seconds", "freshness_seconds"),
)
Values = Mapping[str, float | None]


class Tier(NamedTuple):
    """points: so many at most, one every step_s seconds."""

    step_s: float
    points: int


TIERS = (Tier(2, 300), Tier(30, 240), Tier(300, 288))  # ten minutes, two hours, a day


class Point(NamedTuple):
    """tier: its index. at: Unix seconds. values: by name of the series, means over the step; None: none is known."""

    tier: int
    at: float
    values: Values


class History:
    """The first tier has the values as they are given; each other one has means of those."""

    def __init__(self, tiers: Sequence[Tier] = TIERS) -> None:
        self._tiers = tiers
        self._points: list[deque[Point]] = [deque(maxlen=tier.points) for tier in tiers]
        self._open: list[list[Point]] = [[] for _ in tiers]

    def add(self, at: float, values: Values) -> list[Point]:
        """To be called every `step_s` of the first tier; the points that come of it."""
        first = Point(0, at, {name: _rounded(values.get(name)) for name in SERIES})
        made = [first, *self._completed(first)]
        for point in made:
            self._points[point.tier].append(point)
        return made

    def tier(self, index: int) -> list[Point]:
        """The oldest first."""
        return list(self._points[index])

    def _completed(self, first: Point) -> Iterable[Point]:
        for index, tier in enumerate(self._tiers[1:], start=1):
            begun = self._open[index]
            if begun and begun[0].at // tier.step_s != first.at // tier.step_s:
                means = {name: _mean(point.values[name] for point in begun) for name in SERIES}
                yield Point(index, begun[-1].at, means)
                begun.clear()
            begun.append(first)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(sum(known) / len(known)) if known else None


def _rounded(value: float | None) -> float | None:
    """To what a chart can show; nothing that isn't finite."""
    return None if value is None or value - value != 0 else float(f"{value:.5g}")
