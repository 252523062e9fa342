"""Reasons, offsets owed again, and ledgers merged; and the formats of earlier releases."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger.intervals import span
from streaming.ledger.ledger import Generation, Kind, Ledger

GENERATION = Generation(cluster_id="c1", topic="pets", topic_id="t1")
FORMATS = Path(__file__).parent / "formats"


def new_ledger(*settled: tuple[Kind, range], origin: int = 0) -> Ledger:
    ledger = Ledger(GENERATION)
    ledger.open_partition(0, origin)
    for kind, offsets in settled:
        ledger.record(0, kind, offsets)
    return ledger


def test_dead_letters_keep_their_reasons_through_a_save() -> None:
    ledger = new_ledger((Kind.TRAINED, range(4)))
    ledger.record(0, Kind.DEAD_LETTERED, [4, 6], "mask_size")
    ledger.record(0, Kind.DEAD_LETTERED, [5], "not/an image ü")
    ledger.record(0, Kind.DEAD_LETTERED, [9])
    again = Ledger.load(ledger.dump())
    assert again == ledger
    assert again.reasons(0) == ["mask_size", "not/an image ü"]
    assert list(again.of_reason(0, "mask_size")) == [4, 6]
    assert list(again.of_reason(0, "unheard of")) == []
    assert again.count(0, Kind.DEAD_LETTERED) == 4
    assert again.position(0) == 7


def test_only_dead_letters_have_a_reason() -> None:
    ledger = new_ledger()
    with pytest.raises(LedgerError, match=r"pets\[0\]: trained offsets have no reason, so not 'bored'"):
        ledger.record(0, Kind.TRAINED, [1], "bored")
    assert ledger == new_ledger()


def test_the_65th_reason_and_all_after_it_are_other_but_known_ones_stay() -> None:
    ledger = new_ledger()
    for number in range(70):
        ledger.record(0, Kind.DEAD_LETTERED, [number], f"reason {number:02}")
    ledger.record(0, Kind.DEAD_LETTERED, [70], "reason 03")
    assert ledger.reasons(0) == ["other", *(f"reason {number:02}" for number in range(64))]
    assert list(ledger.of_reason(0, "other")) == list(range(64, 70))
    assert list(ledger.of_reason(0, "reason 03")) == [3, 70]


def test_what_is_unsettled_is_owed_again_and_its_reason_is_gone() -> None:
    ledger = new_ledger((Kind.TRAINED, range(10)))
    ledger.record(0, Kind.DEAD_LETTERED, [10, 11, 14], "image")
    assert (ledger.position(0), ledger.highest(0)) == (12, 15)
    assert ledger.unsettle(0, BitMap64([3, 11, 14, 20, 99])) == 3
    assert (ledger.position(0), ledger.highest(0)) == (3, 11)
    assert list(ledger.unsettled(0, 0, 15)) == [3, 11, 12, 13, 14]
    assert list(ledger.of_reason(0, "image")) == [10]
    assert ledger.unsettle(0, BitMap64([10])) == 1
    assert ledger.reasons(0) == []
    assert ledger.unsettle(0, BitMap64()) == ledger.unsettle(0, BitMap64([3])) == 0
    ledger.record(0, Kind.TRAINED, [3])
    assert ledger.position(0) == 10


def test_nothing_below_the_origin_is_ever_unsettled() -> None:
    ledger = new_ledger((Kind.TRAINED, range(20, 30)), origin=20)
    assert ledger.unsettle(0, span(0, 21)) == 1
    assert ledger.position(0) == 20
    assert ledger.truncate(0, 0) == 9
    assert ledger == new_ledger(origin=20)


@given(st.frozensets(st.integers(0, 80)), st.integers(0, 90))
def test_truncating_leaves_what_lies_below_the_end(settled: frozenset[int], end: int) -> None:
    ledger, expected = new_ledger(), new_ledger()
    ledger.record(0, Kind.TRAINED, settled)
    expected.record(0, Kind.TRAINED, [offset for offset in settled if offset < end])
    assert ledger.truncate(0, end) == sum(offset >= end for offset in settled)
    assert ledger == expected
    assert ledger.dump() == expected.dump()
    assert ledger.highest(0) <= max(end, 0)


def test_merging_joins_what_workers_settled_since_they_parted_and_leaves_them_alone() -> None:
    common = new_ledger((Kind.TRAINED, range(5)))
    one, other = common.copy(), common.copy()
    one.record(0, Kind.TRAINED, [5, 9])
    other.record(0, Kind.DEAD_LETTERED, [6], "image")
    other.open_partition(4, 7)
    other.record(4, Kind.ABSENT, [7])
    before = one.copy(), other.copy()
    merged = Ledger.merged([one, other])
    assert (merged.position(0), merged.position(4), merged.highest(0)) == (7, 8, 10)
    assert merged.reasons(0) == ["image"]
    assert merged == Ledger.merged([other, one])
    assert (one, other) == before
    merged.record(0, Kind.TRAINED, [7])
    assert (one, other) == before


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (new_ledger((Kind.ABSENT, range(3, 5))), r"pets\[0\]: offset 3 is trained in one ledger and absent in another"),
        (new_ledger(origin=2), r"pets\[0\]: the origin is 0 in one ledger and 2 in another"),
        (Ledger(Generation("c1", "pets", "t2")), "one topic generation"),
    ],
)
def test_ledgers_that_contradict_each_other_are_not_merged(other: Ledger, complaint: str) -> None:
    with pytest.raises(LedgerError, match=complaint):
        Ledger.merged([new_ledger((Kind.TRAINED, range(5))), other])


def test_two_reasons_of_one_offset_are_a_contradiction() -> None:
    one, other = new_ledger(), new_ledger()
    one.record(0, Kind.DEAD_LETTERED, [1, 2], "image")
    other.record(0, Kind.DEAD_LETTERED, [2, 3], "mask")
    with pytest.raises(AlreadySettled, match=r"offset 2 is dead_lettered \(image\) in one .* dead_lettered \(mask\)"):
        Ledger.merged([one, other])


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(LedgerError, match="at least one"):
        Ledger.merged([])


def test_the_first_format_is_still_read() -> None:
    ledger = Ledger.load((FORMATS / "format-1.safetensors").read_bytes())
    expected = Ledger(GENERATION)
    expected.open_partition(0, 0)
    expected.open_partition(3, 17)
    expected.record(0, Kind.TRAINED, [0, 1, 2, 5, 6])
    expected.record(0, Kind.DEAD_LETTERED, [3])
    expected.record(0, Kind.ABSENT, [9])
    expected.record(3, Kind.HELD_OUT, range(17, 49))
    assert ledger == expected
    assert ledger.reasons(0) == []
    assert Ledger.load(ledger.dump()) == expected


def test_reasons_that_contradict_the_kinds_are_damage() -> None:
    ledger = new_ledger((Kind.TRAINED, range(3)))
    entries = ledger._partitions[0].entries
    entries.reasons = {"image": BitMap64([2])}
    with pytest.raises(CheckpointDamaged, match=r"pets\[0\].*reasons of offsets that aren't dead-lettered"):
        Ledger.load(ledger.dump())
    entries.add(Kind.DEAD_LETTERED, BitMap64([5]))
    entries.reasons = {"image": BitMap64([5]), "mask": BitMap64([5])}
    with pytest.raises(CheckpointDamaged, match="two reasons"):
        Ledger.load(ledger.dump())
