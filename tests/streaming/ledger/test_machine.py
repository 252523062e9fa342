"""Histories that nobody would think of: two workers, rounds, crashes, older saves, requeues, truncation, merging.

The model is a plain dictionary offset -> (kind, reason) a partition, copied where a ledger is saved.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pyroaring import BitMap64

from streaming.errors import AlreadySettled
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.ledger.planner import Planner
from streaming.ledger.segment import Segment

GENERATION = Generation("c1", "pets", "t1")
WORKERS = 2
END = 140
REASONS = ["image", "mask_size"]
Truth = dict[int, dict[int, tuple[Kind, str]]]

workers = st.integers(0, WORKERS - 1)
kinds = st.sampled_from([Kind.TRAINED, Kind.TRAINED, Kind.DEAD_LETTERED, Kind.DEAD_LETTERED, Kind.ABSENT])
reasons = st.sampled_from(["", *REASONS])
some_offsets = st.frozensets(st.integers(0, END), max_size=30)


@dataclass
class Saved:
    """A checkpoint: the blob, the segments it names, and what it should hold."""

    blob: bytes
    segments: list[str]
    truth: Truth


@dataclass
class Worker:
    """A ledger, and what it should hold."""

    ledger: Ledger
    truth: Truth


def copied(truth: Truth) -> Truth:
    return {partition: dict(book) for partition, book in truth.items()}


class LedgerMachine(RuleBasedStateMachine):
    """Each partition belongs to one worker at a time; saves are merged from all, as a chief's are."""

    @initialize(
        origins=st.lists(st.integers(0, 20), min_size=1, max_size=3),
        segment_offsets=st.sampled_from([4, 16, 1000]),
        seed=st.integers(0, 9),
    )
    def begin(self, origins: list[int], segment_offsets: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.size = segment_offsets
        self.origins = dict(enumerate(origins))
        self.ends = {partition: origin + 40 for partition, origin in self.origins.items()}
        first = Ledger(GENERATION, segment_offsets)
        for partition, origin in self.origins.items():
            first.open_partition(partition, origin)
        self.history: dict[str, bytes] = {}
        self.saves: list[Saved] = []
        self.workers = [Worker(first, {partition: {} for partition in self.origins})]
        self.save()
        self.restart(0, WORKERS)

    # what workers do

    @rule(partition=st.integers(0, 2), records=st.integers(10, 60))
    def produce(self, partition: int, records: int) -> None:
        if partition in self.ends:
            self.ends[partition] = min(self.ends[partition] + records, END)

    @rule(
        worker=workers,
        records=st.integers(3, 30),
        window=st.integers(10, 90),
        ranges=st.integers(2, 9),
        batches=st.lists(st.tuples(st.integers(4, 25), kinds, reasons), min_size=1, max_size=8),
    )
    def run_a_round(
        self, worker: int, records: int, window: int, ranges: int, batches: list[tuple[int, Kind, str]]
    ) -> None:
        """Ranges are planned from the ledger, read, shuffled, settled in batches; what is left is dropped with it."""
        mine = self.of(worker)
        read = self.planned(mine, self.ends_of(worker), records, window)[: records * ranges]
        self.rng.shuffle(read)
        for size, kind, reason in batches:
            batch, read = read[:size], read[size:]
            why = reason if kind is Kind.DEAD_LETTERED else ""
            for partition in {partition for partition, _ in batch}:
                settled = [offset for its, offset in batch if its == partition]
                mine.ledger.record(partition, kind, settled, why)
                mine.truth[partition] |= dict.fromkeys(settled, (kind, why))

    @rule(
        partition=st.integers(0, 2),
        start=st.integers(0, END),
        length=st.integers(1, 50),
        kind=st.sampled_from([Kind.LOST, Kind.EXCLUDED]),
    )
    def settle_a_range(self, partition: int, start: int, length: int, kind: Kind) -> None:
        if partition in self.origins:
            mine = self.of(self.owner(partition))
            owed = range(max(start, self.origins[partition]), start + length)
            new = [offset for offset in owed if offset not in mine.truth[partition]]
            assert mine.ledger.record_range(partition, kind, start, start + length) == len(new)
            mine.truth[partition] |= dict.fromkeys(new, (kind, ""))

    @rule(partition=st.integers(0, 2), more=some_offsets, data=st.data())
    def a_settled_offset_is_refused(self, partition: int, more: frozenset[int], data: st.DataObject) -> None:
        if partition not in self.origins:
            return
        mine = self.of(self.owner(partition))
        if mine.truth[partition]:
            again = data.draw(st.sampled_from(sorted(mine.truth[partition])))
            owed = [offset for offset in more if offset >= self.origins[partition]]
            with pytest.raises(AlreadySettled):
                mine.ledger.record(partition, Kind.TRAINED, {*owed, again})

    # what operators do

    @rule(partition=st.integers(0, 2), owed=some_offsets)
    def unsettle(self, partition: int, owed: frozenset[int]) -> None:
        if partition in self.origins:
            self.owe(partition, owed, lambda ledger: ledger.unsettle(partition, BitMap64(owed)))

    @rule(partition=st.integers(0, 2), reason=st.sampled_from(REASONS))
    def requeue(self, partition: int, reason: str) -> None:
        if partition in self.origins:
            owed = self.of(self.owner(partition)).ledger.of_reason(partition, reason)
            self.owe(partition, owed, lambda ledger: ledger.unsettle(partition, owed))

    @rule(partition=st.integers(0, 2), back=st.integers(0, 40))
    def truncate(self, partition: int, back: int) -> None:
        if partition in self.origins:
            end = max(self.of(self.owner(partition)).ledger.highest(partition) - back, 0)
            self.owe(partition, range(end, 2 * END), lambda ledger: ledger.truncate(partition, end))
            assert self.of(self.owner(partition)).ledger.highest(partition) <= max(end, self.origins[partition])

    # what happens to them

    @rule()
    def save(self) -> None:
        """All ledgers are merged into one checkpoint; segments are written once, by their hash."""
        merged = Ledger.merged([worker.ledger for worker in self.workers])
        truth = {p: dict(self.of(self.owner(p)).truth[p]) for p in self.origins}
        segments = [segment for _, segment in merged.segments()]
        self.history |= {each.sha256: each.dump() for each in segments if each.sha256 not in self.history}
        self.saves.append(Saved(merged.dump(), [each.sha256 for each in segments], truth))

    @rule(count=st.integers(1, WORKERS))
    def save_and_deal_anew(self, count: int) -> None:
        self.save()
        self.restart(0, count)

    @rule(back=st.integers(0, 2), count=st.integers(1, WORKERS))
    def restart(self, back: int, count: int) -> None:
        """Everything dies, and as many workers as there may be now go on from a save; partitions are dealt anew."""
        saved = self.saves[-1 - min(back, len(self.saves) - 1)]
        history = {sha256: Segment.load(self.history[sha256]) for sha256 in saved.segments}
        ledger = Ledger.load(saved.blob, history)
        self.workers = [Worker(ledger.copy(), copied(saved.truth)) for _ in range(count)]

    # helpers

    def owner(self, partition: int) -> int:
        return partition % len(self.workers)

    def ends_of(self, worker: int) -> dict[int, int]:
        worker %= len(self.workers)
        return {partition: end for partition, end in self.ends.items() if self.owner(partition) == worker}

    def planned(self, worker: Worker, ends: dict[int, int], records: int, window: int) -> list[tuple[int, int]]:
        """Everything that the planner wants, in its order."""
        planner = Planner(
            worker.ledger, range_records=records, range_bytes=1 << 20, backlog_window=window, rng=self.rng, first_id=0
        )
        wanted = []
        while (planned := planner.next_range(ends)) is not None:
            wanted += [(planned.partition, offset) for offset in planned.wanted]
        return wanted

    def of(self, worker: int) -> Worker:
        return self.workers[worker % len(self.workers)]

    def owe(self, partition: int, owed: Iterable[int], act: Callable[[Ledger], int]) -> None:
        """In every worker's ledger: an operator does this while none is at work."""
        for worker in self.workers:
            gone = set(owed) & worker.truth[partition].keys()
            assert act(worker.ledger) == len(gone)
            for offset in gone:
                del worker.truth[partition][offset]

    @invariant()
    def every_answer_is_that_of_the_dictionary(self) -> None:
        for worker in getattr(self, "workers", []):
            for partition, origin in self.origins.items():
                agree(worker.ledger, partition, origin, self.size, worker.truth[partition])

    @invariant()
    def the_planner_wants_exactly_what_is_owed(self) -> None:
        for number, worker in enumerate(getattr(self, "workers", [])):
            ends = self.ends_of(number)
            wanted = self.planned(worker, ends, records=50, window=70)
            owed = {(p, o) for p, end in ends.items() for o in range(self.origins[p], end) if o not in worker.truth[p]}
            assert len(wanted) == len(owed)
            assert set(wanted) == owed


def agree(ledger: Ledger, partition: int, origin: int, size: int, truth: dict[int, tuple[Kind, str]]) -> None:
    kinds = {kind: list(ledger.of_kind(partition, kind, 0, 1000)) for kind in Kind}
    assert kinds == {kind: sorted(o for o, (its, _) in truth.items() if its == kind) for kind in Kind}
    assert {kind: n for kind in Kind if (n := ledger.count(partition, kind))} == Counter(k for k, _ in truth.values())
    reasons = {reason: list(ledger.of_reason(partition, reason)) for reason in ledger.reasons(partition)}
    why = {reason for _, reason in truth.values() if reason}
    assert reasons == {reason: sorted(o for o, (_, its) in truth.items() if its == reason) for reason in why}
    position = next(offset for offset in range(origin, 1000) if offset not in truth)
    assert ledger.position(partition) == position
    assert list(ledger.ahead(partition)) == sorted(offset for offset in truth if offset > position)
    assert ledger.highest(partition) == max([position, *(offset + 1 for offset in truth)])
    assert list(ledger.settled(partition)) == sorted(truth)
    stretches = ((max(at, origin), at + size) for at in range(origin - origin % size, 2 * END, size))
    sealed = [(each.start, each.stop) for its, each in ledger.segments() if its == partition]
    assert sealed == [(start, stop) for start, stop in stretches if truth.keys() >= set(range(start, stop))]


LedgerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
test_a_ledger_is_a_dictionary_of_offsets_whatever_happens = LedgerMachine.TestCase
