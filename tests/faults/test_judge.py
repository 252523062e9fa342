"""The judge can fail: a count that was tampered with, a ledger that was, and every way a record can go astray."""

import numpy as np
import pytest

from streaming.arrays import Array
from tests.faults.judge import Place, Verdict, compare, kinds_of
from tests.faults.witness import CODES, POISON, code_of, witness_record

RECORDS: dict[Place, bytes | None] = {(0, n): witness_record(100 + n) for n in range(8)} | {
    (0, 8): b"nonsense",
    (0, 9): None,
    (1, 0): witness_record(POISON),
    (1, 1): witness_record(CODES - 2),
}
LEDGER = {
    0: {"trained": [[0, 5], [6, 8]], "held_out": [[5, 6]], "dead_lettered": [[8, 9]], "skipped": [[9, 10]]},
    1: {"dead_lettered": [[0, 1]], "trained": [[1, 2]], "absent": [[2, 3]]},
}


def counted() -> Array:
    counts = np.zeros(CODES, np.int32)
    counts[[100, 101, 102, 103, 104, 106, 107, CODES - 2]] = 1
    return counts


def verdict(changed: dict[Place, str | None] | None = None, counts: dict[int, int] | None = None) -> Verdict:
    kinds = kinds_of(LEDGER) | (changed or {})
    tampered = counted()
    for code, count in (counts or {}).items():
        tampered[code] = count
    return compare(RECORDS, {place: kind for place, kind in kinds.items() if kind}, tampered, {})


def test_what_is_as_promised_is_exact() -> None:
    found = verdict()
    assert found.exact, found
    assert (found.records, found.trained) == (12, 8)


@pytest.mark.parametrize(
    ("counts", "lost", "repeated"),
    [
        ({102: 0}, 1, 0),
        ({102: 2}, 0, 1),
        ({105: 1}, 0, 1),
        ({7: 3}, 0, 3),
        ({102: 0, 103: 2}, 1, 1),
        ({POISON: 1}, 0, 1),
    ],
    ids=["missing", "twice", "held out yet trained", "never produced", "one for another", "poison"],
)
def test_a_tampered_count_is_seen(counts: dict[int, int], lost: int, repeated: int) -> None:
    found = verdict(counts=counts)
    assert (found.lost, found.repeated) == (lost, repeated)
    assert not found.exact


@pytest.mark.parametrize(
    "changed",
    [
        {(0, 2): None},
        {(0, 2): "absent"},
        {(0, 2): "dead_lettered"},
        {(0, 2): "held_out"},
        {(0, 2): "lost"},
        {(0, 8): "trained"},
        {(0, 9): "dead_lettered"},
        {(0, 10): "trained"},
        {(1, 0): "trained"},
        {(0, 5): "trained"},
    ],
    ids=str,
)
def test_a_tampered_ledger_is_seen(changed: dict[Place, str | None]) -> None:
    assert not verdict(changed).exact


def test_an_offset_of_two_kinds_is_seen() -> None:
    kinds = kinds_of({0: {"trained": [[0, 5]], "absent": [[4, 6]]}})
    assert kinds[0, 4] == "two kinds"
    assert not compare({(0, 4): witness_record(1)}, kinds, counted(), {}).exact


def test_a_record_that_retention_removed_is_owed_unless_the_ledger_says_lost() -> None:
    gone = {(2, 0): witness_record(1), (2, 1): witness_record(2)}
    counts = counted()
    counts[1] = 1
    kinds = kinds_of(LEDGER | {2: {"trained": [[0, 1]], "lost": [[1, 2]]}})
    assert compare(RECORDS, kinds, counts, gone).exact
    assert compare(RECORDS, kinds, counted(), gone).lost == 1
    assert not compare(RECORDS | gone, kinds, counts, {}).exact


def test_only_an_unaltered_record_has_a_code() -> None:
    whole = witness_record(70_000)
    assert code_of(whole) == 70_000
    assert code_of(whole[:-3]) is code_of(whole + b"\x00") is code_of(b"") is code_of(None) is None
