"""Intervals against plain sets, and their cost against long runs."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from streaming.ledger.intervals import add, complement, first_missing, from_intervals, intervals, span, within

OFFSETS = st.frozensets(st.integers(0, 120) | st.integers(65_500, 65_600) | st.integers(2**40, 2**40 + 30))


@given(OFFSETS)
def test_intervals_of_a_bitmap_give_the_bitmap_back(offsets: frozenset[int]) -> None:
    pairs = list(intervals(BitMap64(offsets)))
    assert set(from_intervals(pairs)) == offsets
    assert all(start < stop for start, stop in pairs)
    assert all(stop < start for (_, stop), (start, _) in pairwise(pairs))


@given(OFFSETS, st.integers(0, 70_000), st.integers(0, 70_000))
def test_complement_and_within_split_an_interval(offsets: frozenset[int], start: int, stop: int) -> None:
    bitmap = BitMap64(offsets)
    inside, outside = within(bitmap, start, stop), complement(bitmap, start, stop)
    assert set(inside) == offsets & set(range(start, stop))
    assert inside.isdisjoint(outside)
    assert inside | outside == span(start, stop)
    assert set(bitmap) == offsets


@given(OFFSETS, st.integers(0, 70_000))
def test_first_missing_is_the_smallest_offset_lacking(offsets: frozenset[int], start: int) -> None:
    expected = start
    while expected in offsets:
        expected += 1
    assert first_missing(BitMap64(offsets), start) == expected


def test_empty_and_reversed_intervals_hold_nothing() -> None:
    bitmap = BitMap64([7])
    add(bitmap, 3, 3)
    add(bitmap, 9, 4)
    assert list(intervals(bitmap)) == [(7, 8)]
    assert len(span(5, 5)) == len(span(6, 2)) == 0
    assert list(intervals(BitMap64())) == []


def test_the_greatest_offset_kafka_can_give_has_an_interval() -> None:
    last = 2**63 - 1
    assert list(intervals(BitMap64([last]))) == [(last, last + 1)]
    assert first_missing(BitMap64([last]), last) == last + 1


def test_a_run_of_ten_thousand_million_offsets_is_one_interval() -> None:
    assert list(intervals(span(5, 10**10))) == [(5, 10**10)]
    assert first_missing(span(5, 10**10), 5) == 10**10


def test_limits_far_beyond_a_bitmap_cost_nothing() -> None:
    began = time.process_time()
    assert list(within(BitMap64([3, 2**40]), 4, 2**63 - 1)) == [2**40]
    assert not within(BitMap64(), 0, 2**63 - 1)
    assert time.process_time() - began < 0.5
