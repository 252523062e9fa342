"""Paired, alternating windows: machines drift by a third within minutes, the ratio of neighbours drifts little."""

from statistics import median
from typing import NamedTuple

UNCOUNTED_STEPS = 6  # at the beginning of a window: what was read ahead while the side stood still


class Ratio(NamedTuple):
    """Of pairs of neighbours: median, smallest, largest."""

    median: float
    least: float
    most: float


def ratio(ours: list[float], theirs: list[float]) -> Ratio:
    """Of ours[i] / theirs[i], taken one after the other."""
    found = quotients(ours, theirs)
    return Ratio(median(found), min(found), max(found))


def quotients(ours: list[float], theirs: list[float]) -> list[float]:
    """ours[i] / theirs[i]."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]
