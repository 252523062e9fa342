"""Half-open intervals of offsets `[start, stop)` as 64-bit roaring bitmaps, and back.

A bitmap here is a `pyroaring.BitMap64` of offsets in 0..2**63 - 1. Every function leaves its arguments alone
and costs by the number of containers and intervals involved, never by the number of offsets in long runs.
"""

from collections.abc import Iterable, Iterator

from pyroaring import BitMap64


def intervals(bitmap: BitMap64) -> Iterator[tuple[int, int]]:
    """The maximal runs of a bitmap as ascending half-open intervals."""
    after = bitmap.shift(1)
    starts = (bitmap - after).to_array()
    stops = (after - bitmap).to_array()
    return zip(starts, stops, strict=True)


def from_intervals(pairs: Iterable[tuple[int, int]]) -> BitMap64:
    """The union of half-open intervals; they may touch, overlap and be empty."""
    bitmap = BitMap64()
    for start, stop in pairs:
        add(bitmap, start, stop)
    return bitmap


def add(bitmap: BitMap64, start: int, stop: int) -> None:
    """Put every offset of `[start, stop)` into a bitmap, in place; an empty interval adds nothing."""
    if start < stop:
        bitmap.add_range(start, stop)


def span(start: int, stop: int) -> BitMap64:
    """Every offset of `[start, stop)`; empty if stop <= start."""
    bitmap = BitMap64()
    add(bitmap, start, stop)
    return bitmap


def within(bitmap: BitMap64, start: int, stop: int) -> BitMap64:
    """The offsets of a bitmap that lie inside `[start, stop)`, which may reach far beyond the bitmap."""
    inside = bitmap.copy()
    if inside and inside.min() < start:
        inside.remove_range(0, start)
    if inside and inside.max() >= stop:
        inside.remove_range(max(0, stop), inside.max() + 1)
    return inside


def complement(bitmap: BitMap64, start: int, stop: int) -> BitMap64:
    """The offsets of `[start, stop)` that a bitmap lacks: the unsettled ones, if it holds the settled."""
    return span(start, stop) - bitmap


def first_missing(bitmap: BitMap64, start: int) -> int:
    """The smallest offset >= start that a bitmap lacks, by galloping: logarithmic in the length of the run."""
    missing, step = start, 1
    while bitmap.contains_range(missing, missing + step):
        missing += step
        step *= 2
    while step > 1:
        step //= 2
        if bitmap.contains_range(missing, missing + step):
            missing += step
    return missing
