"""Sealed history: what is sealed when, that nothing can tell it from the rest, and what a save costs."""

import hashlib
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.ledger.segment import SEGMENT_OFFSETS, Segment

GENERATION = Generation(cluster_id="c1", topic="pets", topic_id="t1")
SMALL = 8
KINDS = st.sampled_from([Kind.TRAINED, Kind.ABSENT, Kind.DEAD_LETTERED])
OFFSETS = st.frozensets(st.integers(3, 50))


def new_ledger(segment_offsets: int = SMALL, origin: int = 3) -> Ledger:
    ledger = Ledger(GENERATION, segment_offsets)
    ledger.open_partition(0, origin)
    return ledger


def filled(settled: dict[int, Kind], segment_offsets: int = SMALL) -> Ledger:
    ledger = new_ledger(segment_offsets)
    for kind in Kind:
        ledger.record(0, kind, [offset for offset, its in settled.items() if its == kind])
    return ledger


def history(ledger: Ledger) -> dict[str, Segment]:
    return {segment.sha256: segment for _, segment in ledger.segments()}


def stretches(ledger: Ledger) -> list[tuple[int, int]]:
    return [(segment.start, segment.stop) for _, segment in ledger.segments()]


def test_a_stretch_is_sealed_exactly_while_all_of_it_is_settled() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, [*range(4, 8), *range(9, 20)])
    assert stretches(ledger) == []
    ledger.record(0, Kind.ABSENT, [3])
    assert stretches(ledger) == [(3, 8)]
    ledger.record(0, Kind.TRAINED, range(24, 32))
    assert stretches(ledger) == [(3, 8), (24, 32)]
    ledger.record(0, Kind.TRAINED, [8, *range(20, 24)])
    assert stretches(ledger) == [(3, 8), (8, 16), (16, 24), (24, 32)]
    assert ledger.position(0) == 32
    ledger.unsettle(0, BitMap64([9]))
    assert stretches(ledger) == [(3, 8), (16, 24), (24, 32)]
    assert (ledger.position(0), ledger.highest(0)) == (9, 32)
    ledger.truncate(0, 25)
    assert stretches(ledger) == [(3, 8), (16, 24)]
    assert list(ledger.unsettled(0, 0, 30)) == [9, *range(25, 30)]


@given(st.dictionaries(st.integers(3, 50), KINDS), OFFSETS, st.integers(0, 60))
def test_no_answer_depends_on_what_is_sealed(settled: dict[int, Kind], again: frozenset[int], end: int) -> None:
    sealed, plain = filled(settled, SMALL), filled(settled, 1000)
    acts: list[Callable[[Ledger], object]] = [
        lambda ledger: None,
        lambda ledger: ledger.unsettle(0, BitMap64(again)),
        lambda ledger: ledger.truncate(0, end),
        lambda ledger: ledger.record_range(0, Kind.LOST, 0, end),
    ]
    for act in acts:
        assert act(sealed) == act(plain)
        assert answers(sealed) == answers(plain)


def answers(ledger: Ledger) -> list[object]:
    kinds = [
        (ledger.count(0, kind), list(ledger.kind_intervals(0, kind)), ledger.of_kind(0, kind, 5, 30)) for kind in Kind
    ]
    place = ledger.position(0), ledger.highest(0), ledger.ahead(0), ledger.settled(0), ledger.unsettled(0, 0, 70)
    return [kinds, place, ledger.counts(), ledger.reasons(0)]


@given(st.dictionaries(st.integers(3, 50), KINDS), st.lists(OFFSETS, max_size=3))
def test_equal_ledgers_are_sealed_alike_and_give_equal_bytes_whatever_their_past(
    settled: dict[int, Kind], detours: list[frozenset[int]]
) -> None:
    straight, winding = filled(settled), filled(settled)
    for detour in detours:
        gone = {offset: kind for offset, kind in settled.items() if offset in detour}
        winding.unsettle(0, BitMap64(detour))
        for offset, kind in gone.items():
            winding.record(0, kind, [offset])
    assert winding == straight
    assert winding.dump() == straight.dump()
    assert [each.dump() for _, each in winding.segments()] == [each.dump() for _, each in straight.segments()]
    assert Ledger.load(winding.dump(), history(straight)) == straight


def test_reasons_are_sealed_with_their_dead_letters() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, range(3, 30))
    ledger.record(0, Kind.DEAD_LETTERED, [30], "image")
    ledger.record(0, Kind.DEAD_LETTERED, [31, 33], "mask")
    assert stretches(ledger)[-1] == (24, 32)
    again = Ledger.load(ledger.dump(), {sha: Segment.load(each.dump()) for sha, each in history(ledger).items()})
    assert again == ledger
    assert again.reasons(0) == ["image", "mask"]
    assert list(again.of_reason(0, "mask")) == [31, 33]
    assert again.unsettle(0, again.of_reason(0, "mask")) == 2
    assert again.reasons(0) == ["image"]
    assert again.position(0) == 31
    with pytest.raises(AlreadySettled, match="offset 30 is dead_lettered already"):
        again.record(0, Kind.TRAINED, [30])


def test_copies_share_segments_and_stay_independent() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, range(3, 20))
    copy = ledger.copy()
    assert all(mine is theirs for (_, mine), (_, theirs) in zip(ledger.segments(), copy.segments(), strict=True))
    ledger.unsettle(0, BitMap64([5, 12]))
    ledger.record(0, Kind.ABSENT, [5])
    assert copy == filled(dict.fromkeys(range(3, 20), Kind.TRAINED))
    assert copy.counts()[Kind.TRAINED] == 17


def test_sealed_and_open_halves_are_merged() -> None:
    common = filled(dict.fromkeys(range(3, 20), Kind.TRAINED))
    one, other = common.copy(), common.copy()
    one.record(0, Kind.TRAINED, range(20, 24))
    other.unsettle(0, BitMap64([4]))
    other.record(0, Kind.DEAD_LETTERED, range(24, 32), "image")
    merged = Ledger.merged([one, other])
    assert merged == Ledger.merged([other, one])
    assert merged.position(0) == 32
    assert stretches(merged) == [(3, 8), (8, 16), (16, 24), (24, 32)]
    other.record(0, Kind.ABSENT, [4])
    with pytest.raises(AlreadySettled, match=r"pets\[0\]: offset 4 is trained in one ledger and absent in another"):
        Ledger.merged([one, other])


def test_a_ledger_and_a_history_that_do_not_fit_are_damage() -> None:
    ledger = filled(dict.fromkeys(range(3, 20), Kind.TRAINED))
    first, second = (segment for _, segment in ledger.segments())
    elsewhere = Segment(first.start + 1, first.stop, first.entries)
    for wrong, complaint in (
        ({}, r"pets\[0\]: the sealed history [0-9a-f]{64} is missing"),
        ({first.sha256: first, second.sha256: first}, "sealed already"),
        ({first.sha256: elsewhere, second.sha256: second}, r"names sealed history \[4, 8\)"),
    ):
        with pytest.raises(CheckpointDamaged, match=complaint):
            Ledger.load(ledger.dump(), wrong)
    ledger._partitions[0].entries.add(Kind.TRAINED, BitMap64([9]))
    with pytest.raises(CheckpointDamaged, match="sealed already"):
        Ledger.load(ledger.dump(), history(ledger))


def test_a_segment_with_a_gap_or_of_a_later_release_is_refused() -> None:
    _, segment = next(filled(dict.fromkeys(range(3, 20), Kind.TRAINED)).segments())
    with pytest.raises(CheckpointDamaged, match=r"does not hold all of \[3, 9\)"):
        Segment.load(Segment(3, 9, segment.entries).dump())
    with pytest.raises(LedgerError, match=r"format version 7.*upgrade"):
        Segment.load(segment.dump().replace(b'version\\": 1', b'version\\": 7'))


@given(st.data())
def test_cut_or_altered_bytes_never_give_another_segment(data: st.DataObject) -> None:
    _, segment = next(filled(dict.fromkeys(range(3, 20), Kind.TRAINED)).segments())
    blob = bytearray(segment.dump())
    if data.draw(st.booleans()):
        del blob[data.draw(st.integers(0, len(blob) - 1)) :]
    else:
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        loaded = Segment.load(bytes(blob))
    except (CheckpointDamaged, LedgerError):
        return
    assert sum(loaded.counts.values()) == loaded.stop - loaded.start


def with_holes(offsets: int, segment_offsets: int = SEGMENT_OFFSETS) -> Ledger:
    """A partition settled up to `offsets`, every tenth of them absent."""
    ledger = new_ledger(segment_offsets, origin=0)
    block = 1_000_000
    for start in range(0, offsets, block):
        stop = min(start + block, offsets)
        holes = BitMap64(range(start, stop, 10))
        ledger.record(0, Kind.ABSENT, holes)
        ledger.record_range(0, Kind.TRAINED, start, stop)
    return ledger


def least_ms(act: Callable[[], object]) -> float:
    def once() -> float:
        begun = time.perf_counter()
        act()
        return (time.perf_counter() - begun) * 1000

    return min(once() for _ in range(5))


@pytest.mark.parametrize("segment_offsets", [2**20, SEGMENT_OFFSETS])
def test_ten_million_settled_offsets_with_a_hole_every_ten_take_milliseconds(segment_offsets: int) -> None:
    """The figures are printed (pytest -s); asserted is what doesn't depend on the machine: how many bytes there are."""
    ledger = with_holes(10_000_000, segment_offsets)
    blob, segments = ledger.dump(), [segment.dump() for _, segment in ledger.segments()]

    def load() -> Ledger:
        loaded = (Segment.load(segment) for segment in segments)
        return Ledger.load(blob, {hashlib.sha256(b).hexdigest(): s for b, s in zip(segments, loaded, strict=True)})

    assert load() == ledger
    assert load().position(0) == 10_000_000
    print(
        f"\nsegments of {segment_offsets}: copy {least_ms(ledger.copy):.2f} ms, dump {least_ms(ledger.dump):.2f} ms, "
        f"load {least_ms(load):.2f} ms; {len(blob)} bytes a save, {sum(map(len, segments))} bytes once in "
        f"{len(segments)} segments"
    )
    assert len(blob) < 0.26 * segment_offsets + 1000  # 64 KiB in 2**18 offsets, as bits of two kinds
    assert sum(map(len, segments)) < 0.26 * 10_000_000


def test_a_save_is_no_larger_after_another_ten_million_offsets() -> None:
    sizes = [len(with_holes(millions * 2**23 + 5000).dump()) for millions in (0, 1, 2)]
    print(f"\n{sizes} bytes in a save after 5,000, 8.4 and 16.8 million offsets")
    assert max(sizes) - min(sizes) <= 2 * 2 * 70  # two segments more, by their hashes


def test_the_step_that_seals_is_told_by_its_figures() -> None:
    ledger = with_holes(SEGMENT_OFFSETS - 1)
    copies = [ledger.copy() for _ in range(5)]
    last = np.array([SEGMENT_OFFSETS - 1])
    took_ms = least_ms(lambda: copies.pop().record(0, Kind.TRAINED, last))
    print(f"\nsealing a segment with a hole every ten: {took_ms:.2f} ms, once in {SEGMENT_OFFSETS} offsets")
    ledger.record(0, Kind.TRAINED, last)
    assert stretches(ledger) == [(0, SEGMENT_OFFSETS)]
    assert len(ledger.dump()) < 1000
