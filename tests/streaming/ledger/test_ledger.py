"""The ledger against a plain dictionary, its refusals, and its bytes."""

import json
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger.ledger import Generation, Kind, Ledger

GENERATION = Generation(cluster_id="c1", topic="pets", topic_id="t1")
ORIGINS = {0: 0, 3: 17}

ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(sorted(ORIGINS)), st.sampled_from(Kind), st.lists(st.integers(0, 60), max_size=12, unique=True)
    ),
    max_size=25,
)


def new_ledger() -> Ledger:
    ledger = Ledger(GENERATION)
    for partition, origin in ORIGINS.items():
        ledger.open_partition(partition, origin)
    return ledger


def ints(*offsets: int) -> np.ndarray:
    return np.array(offsets, np.int64)


@given(ENTRIES)
def test_a_ledger_agrees_with_a_dictionary_of_offsets(entries: list[tuple[int, Kind, list[int]]]) -> None:
    ledger = new_ledger()
    model: dict[int, dict[int, Kind]] = {partition: {} for partition in ORIGINS}
    for partition, kind, offsets in entries:
        book = model[partition]
        if any(offset < ORIGINS[partition] or offset in book for offset in offsets):
            with pytest.raises(LedgerError):
                ledger.record(partition, kind, ints(*offsets))
        else:
            ledger.record(partition, kind, ints(*offsets))
            book |= dict.fromkeys(offsets, kind)
    for partition, book in model.items():
        assert dict.fromkeys(ledger.settled(partition)) == dict.fromkeys(sorted(book))
        assert ledger.position(partition) == min(set(range(ORIGINS[partition], 99)) - set(book))
        assert set(ledger.unsettled(partition, 0, 70)) == set(range(ORIGINS[partition], 70)) - set(book)
        assert {kind: n for kind in Kind if (n := ledger.count(partition, kind))} == Counter(book.values())
        for kind in Kind:
            held = {o for start, stop in ledger.kind_intervals(partition, kind) for o in range(start, stop)}
            assert held == {offset for offset, its in book.items() if its == kind}
    assert sum(ledger.counts().values()) == sum(len(book) for book in model.values())
    assert Ledger.load(ledger.dump()) == ledger == ledger.copy()


@given(ENTRIES, st.integers(0, 70), st.integers(0, 70))
def test_record_range_settles_what_is_left_and_says_how_many(
    entries: list[tuple[int, Kind, list[int]]], start: int, stop: int
) -> None:
    ledger = new_ledger()
    for partition, kind, offsets in entries:
        left = ledger.unsettled(partition, 0, 100)
        ledger.record(partition, kind, [offset for offset in offsets if offset in left])
    left = ledger.unsettled(3, start, stop)
    before = ledger.count(3, Kind.LOST)
    assert ledger.record_range(3, Kind.LOST, start, stop) == len(left)
    assert ledger.count(3, Kind.LOST) == before + len(left)
    assert not ledger.unsettled(3, start, stop)
    assert ledger.record_range(3, Kind.LOST, start, stop) == 0


def test_a_settled_offset_is_refused_by_name_and_nothing_changes() -> None:
    ledger = new_ledger()
    ledger.record(3, Kind.TRAINED, ints(17, 18, 40))
    before = ledger.copy()
    with pytest.raises(AlreadySettled, match=r"pets\[3\]: offset 40 is trained already and can't become absent"):
        ledger.record(3, Kind.ABSENT, ints(39, 40, 41))
    with pytest.raises(AlreadySettled, match=r"pets\[3\]: offset 18 is trained already and can't become trained"):
        ledger.record(3, Kind.TRAINED, ints(18, 50))
    assert ledger == before


def test_an_offset_twice_in_one_entry_is_refused_by_name_and_nothing_changes() -> None:
    ledger = new_ledger()
    with pytest.raises(AlreadySettled, match=r"pets\[0\]: offset 5 was to become trained twice"):
        ledger.record(0, Kind.TRAINED, ints(9, 5, 2, 5))
    assert ledger == new_ledger()


@pytest.mark.parametrize("offsets", [[16], [20, 3], [-1]])
def test_an_offset_below_the_origin_is_refused(offsets: list[int]) -> None:
    ledger = new_ledger()
    with pytest.raises(LedgerError, match=r"below the origin 17"):
        ledger.record(3, Kind.TRAINED, offsets)
    assert ledger == new_ledger()


@pytest.mark.parametrize(
    "act",
    [
        lambda ledger: ledger.record(9, Kind.TRAINED, ints(1)),
        lambda ledger: ledger.record_range(9, Kind.LOST, 0, 5),
        lambda ledger: ledger.position(9),
        lambda ledger: ledger.open_partition(0, 4),
        lambda ledger: ledger.open_partition(1, -1),
    ],
)
def test_unknown_and_reopened_partitions_are_refused(act: Callable[[Ledger], object]) -> None:
    ledger = new_ledger()
    with pytest.raises(LedgerError, match=r"pets\["):
        act(ledger)
    assert ledger == new_ledger()


def test_offsets_may_be_any_iterable_or_integer_array_but_no_fractions() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, range(3))
    ledger.record(0, Kind.TRAINED, BitMap64([3]))
    ledger.record(0, Kind.TRAINED, np.array([4], np.int32))
    ledger.record(0, Kind.TRAINED, ints())
    assert ledger.position(0) == 5
    with pytest.raises(TypeError):
        ledger.record(0, Kind.TRAINED, np.array([5.5]))


def test_a_copy_and_what_is_asked_for_are_independent_of_the_ledger() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, ints(1, 2))
    copy, ahead = ledger.copy(), ledger.ahead(0)
    ledger.record(0, Kind.TRAINED, ints(0, 5))
    assert (copy.position(0), ledger.position(0)) == (0, 3)
    assert list(ahead) == [1, 2]
    assert list(ledger.ahead(0)) == [5]
    assert copy != ledger


def test_equal_ledgers_give_equal_bytes_whatever_their_past() -> None:
    one, other = new_ledger(), new_ledger()
    one.record(0, Kind.TRAINED, range(1000))
    for offset in reversed(range(1000)):
        other.record(0, Kind.TRAINED, [offset])
    assert one == other
    assert one.dump() == other.dump()


def rewrite(blob: bytes, about: dict[str, object] | None = None, **tensors: BitMap64) -> bytes:
    """The blob with other metadata or further bitmaps."""
    length = int.from_bytes(blob[:8], "little")
    old = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["ledger"])
    arrays = safetensors.numpy.load(blob)
    arrays |= {name.replace("_", "/", 1): np.frombuffer(b.serialize(), np.uint8) for name, b in tensors.items()}
    changed: bytes = safetensors.numpy.save(arrays, {"ledger": json.dumps(old | (about or {}))})
    return changed


def test_a_later_format_is_refused_with_the_remedy() -> None:
    with pytest.raises(LedgerError, match=r"format version 3.*upgrade"):
        Ledger.load(rewrite(new_ledger().dump(), {"format_version": 3}))


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"0_trained": BitMap64([4, 5]), "0_absent": BitMap64([5])}, "two kinds"),
        ({"3_trained": BitMap64([16])}, "below origin 17"),
        ({"0_eaten": BitMap64([1])}, "eaten"),
        ({"8_trained": BitMap64([1])}, "8"),
    ],
)
def test_a_ledger_that_contradicts_itself_is_damaged(tensors: dict[str, BitMap64], reason: str) -> None:
    with pytest.raises(CheckpointDamaged, match=reason):
        Ledger.load(rewrite(new_ledger().dump(), **tensors))


@given(st.data())
def test_cut_or_altered_bytes_never_give_an_inconsistent_ledger(data: st.DataObject) -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, range(0, 3000, 3))
    ledger.record(3, Kind.ABSENT, range(17, 2000))
    blob = bytearray(ledger.dump())
    if data.draw(st.booleans()):
        del blob[data.draw(st.integers(0, len(blob) - 1)) :]
    else:
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        loaded = Ledger.load(bytes(blob))
    except (CheckpointDamaged, LedgerError):
        return
    for partition in loaded.partitions():
        assert len(loaded.settled(partition)) == sum(loaded.count(partition, kind) for kind in Kind)
        assert loaded.position(partition) not in loaded.settled(partition)


def test_ten_million_offsets_with_a_hole_every_ten_are_saved_and_loaded_quickly() -> None:
    ledger = new_ledger()
    pattern = BitMap64(offset for offset in range(11_200) if offset % 10 != 9)
    bitmap = BitMap64()
    for block in range(1000):
        bitmap |= pattern.shift(block * 11_200)
    ledger = Ledger.load(rewrite(ledger.dump(), **{"0_trained": bitmap}))
    assert ledger.count(0, Kind.TRAINED) == 10_080_000
    begun = time.perf_counter()
    blob = ledger.dump()
    again = Ledger.load(blob)
    took_s = time.perf_counter() - begun
    assert again == ledger
    assert len(blob) < 2_000_000
    assert took_s < 0.5  # 5 ms on a quiet machine


def test_the_position_is_as_fast_after_ten_million_offsets_as_at_the_start() -> None:
    ledger = new_ledger()
    ledger.record_range(0, Kind.TRAINED, 0, 10_000_000)
    begun = time.perf_counter()
    for start in range(10_000_000, 10_032_000, 32):
        ledger.record(0, Kind.TRAINED, np.arange(start, start + 32))
        assert ledger.position(0) == start + 32
    assert time.perf_counter() - begun < 1.0  # 15 microseconds a step on a quiet machine
    assert len(ledger.ahead(0)) == 0
