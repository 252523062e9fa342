"""Rounds, abandoned anywhere and restored from anywhere, against a plain count of what was trained."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.ledger.planner import Planner, Range


def new_ledger(*origins: int) -> Ledger:
    ledger = Ledger(Generation("c1", "pets", "t1"))
    for partition, origin in enumerate(origins):
        ledger.open_partition(partition, origin)
    return ledger


def new_planner(ledger: Ledger, records: int = 10, size: int = 1 << 20, window: int = 40, seed: int = 0) -> Planner:
    return Planner(
        ledger, range_records=records, range_bytes=size, backlog_window=window, rng=random.Random(seed), first_id=7
    )


def drain(planner: Planner, ends: dict[int, int]) -> list[Range]:
    ranges = []
    while (planned := planner.next_range(ends)) is not None:
        ranges.append(planned)
    return ranges


@given(
    settled=st.lists(st.frozensets(st.integers(0, 150)), min_size=1, max_size=3),
    ends=st.lists(st.integers(0, 150), min_size=3, max_size=3),
    records=st.integers(1, 40),
    window=st.integers(1, 200),
    seed=st.integers(0, 5),
    means=st.lists(st.integers(0, 400), max_size=5),
)
def test_a_round_plans_every_unsettled_offset_once_and_no_other(
    settled: list[frozenset[int]], ends: list[int], records: int, window: int, seed: int, means: list[int]
) -> None:
    ledger = new_ledger(*[0] * len(settled))
    for partition, offsets in enumerate(settled):
        ledger.record(partition, Kind.TRAINED, offsets)
    planner = new_planner(ledger, records, 1000, window, seed)
    limits = dict(enumerate(ends))
    planned: list[tuple[int, int]] = []
    while True:
        left = planner.available(limits)
        chosen = planner.next_range(limits)
        if chosen is None:
            assert left == 0
            break
        assert planner.available(limits) == left - len(chosen.wanted)
        assert chosen.stop - chosen.start <= records
        assert chosen.start == chosen.wanted.min()
        assert chosen.stop == chosen.wanted.max() + 1
        planned += [(chosen.partition, offset) for offset in chosen.wanted]
        if means:
            planner.note_size(means.pop())
    unsettled = {(p, o) for p, offsets in enumerate(settled) for o in set(range(ends[p])) - offsets}
    assert len(planned) == len(set(planned))
    assert set(planned) == unsettled


@dataclass
class World:
    """A model and its checkpoint: what was trained lives and dies with the ledger."""

    ledger: Ledger
    trained: Counter[tuple[int, int]] = field(default_factory=Counter)
    saved: bytes = b""
    saved_trained: Counter[tuple[int, int]] = field(default_factory=Counter)

    def save(self) -> None:
        self.saved, self.saved_trained = self.ledger.dump(), self.trained.copy()

    def crash(self) -> None:
        self.ledger, self.trained = Ledger.load(self.saved), self.saved_trained.copy()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rounds_abandoned_or_crashed_anywhere_settle_every_offset_exactly_once(data: st.DataObject) -> None:
    origins = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=3))
    ends = {partition: origin + data.draw(st.integers(0, 120)) for partition, origin in enumerate(origins)}
    holes = {(p, o) for p in ends for o in data.draw(st.frozensets(st.integers(0, 150), max_size=30))}
    rng = random.Random(data.draw(st.integers(0, 9)))
    world = World(new_ledger(*origins))
    world.save()

    def run_round(give_up_after: int | None) -> None:
        planner = new_planner(world.ledger, rng.randint(1, 30), window=rng.randint(1, 90), seed=rng.randint(0, 9))
        buffered: list[tuple[int, int]] = []  # read and shuffled, not trained
        steps = 0
        while (planned := planner.next_range(ends)) is not None or buffered:
            if planned is not None:
                partition = planned.partition
                buffered += [(partition, o) for o in planned.wanted if (partition, o) not in holes]
                missing = [o for o in planned.wanted if (partition, o) in holes]
                world.ledger.record(partition, Kind.ABSENT, missing)
            rng.shuffle(buffered)
            if planned is None or len(buffered) > 20:
                batch, buffered = buffered[:8], buffered[8:]
                for partition in {p for p, _ in batch}:
                    world.ledger.record(partition, Kind.TRAINED, [o for p, o in batch if p == partition])
                world.trained.update(batch)
                steps += 1
            if steps == give_up_after:
                return

    for give_up_after, then in data.draw(
        st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["save", "go on", "crash"])), max_size=6)
    ):
        run_round(give_up_after)
        if then == "save":
            world.save()
        elif then == "crash":
            world.crash()
    run_round(None)

    owed = {(p, o) for p, origin in enumerate(origins) for o in range(origin, ends[p])}
    assert world.trained == Counter(owed - holes)
    assert world.ledger.counts()[Kind.ABSENT] == len(owed & holes)
    assert {p: world.ledger.position(p) for p in ends} == ends
    assert new_planner(world.ledger).next_range(ends) is None


def test_partitions_take_turns() -> None:
    ranges = drain(new_planner(new_ledger(0, 0, 0)), {0: 25, 1: 25, 2: 5})
    assert [planned.partition for planned in ranges] == [0, 1, 2, 0, 1, 0, 1]


def test_ids_count_up_from_the_first_and_the_next_round_goes_on() -> None:
    planner = new_planner(new_ledger(0))
    assert [planned.id for planned in drain(planner, {0: 30})] == [7, 8, 9]


def test_a_window_is_drawn_at_random_and_completely_before_the_next() -> None:
    starts = [planned.start for planned in drain(new_planner(new_ledger(0)), {0: 400})]
    windows = [starts[at : at + 4] for at in range(0, 40, 4)]
    assert [sorted(window) for window in windows] == [[at, at + 10, at + 20, at + 30] for at in range(0, 400, 40)]
    assert starts != sorted(starts)
    assert starts == [planned.start for planned in drain(new_planner(new_ledger(0)), {0: 400})]
    assert starts != [planned.start for planned in drain(new_planner(new_ledger(0), seed=1), {0: 400})]


def test_a_growing_log_is_followed_from_where_it_ended() -> None:
    planner = new_planner(new_ledger(5))
    assert (planner.fetched(0), planner.available({0: 5})) == (5, 0)
    assert planner.next_range({0: 5}) is None
    first, second = planner.next_range({0: 8}), planner.next_range({0: 9})
    assert first is not None
    assert second is not None
    assert (first[2:4], second[2:4]) == ((5, 8), (8, 9))
    assert planner.fetched(0) == 9
    assert planner.next_range({0: 3}) is None


def test_settled_stretches_are_never_planned_and_short_ones_are_dropped_by_wanted() -> None:
    ledger = new_ledger(0)
    ledger.record(0, Kind.TRAINED, [*range(3), 5, *range(12, 1_000_000)])
    ranges = sorted(drain(new_planner(ledger), {0: 1_000_020}), key=lambda planned: planned.start)
    assert [(r.start, r.stop, list(r.wanted)) for r in ranges] == [
        (3, 12, [3, 4, 6, 7, 8, 9, 10, 11]),
        (1_000_000, 1_000_010, list(range(1_000_000, 1_000_010))),
        (1_000_010, 1_000_020, list(range(1_000_010, 1_000_020))),
    ]


def test_large_records_make_short_ranges_even_in_a_window_cut_before() -> None:
    planner = new_planner(new_ledger(0), size=1000)
    first = planner.next_range({0: 40})
    planner.note_size(400)
    rest = drain(planner, {0: 40})
    assert first is not None
    assert first.stop - first.start == 10
    assert [planned.stop - planned.start for planned in rest] == [2] * 15
    planner.note_size(1e9)
    assert [planned[2:4] for planned in drain(planner, {0: 41})] == [(40, 41)]


@pytest.mark.parametrize("kind", [Kind.TRAINED, Kind.LOST])
def test_what_is_settled_after_the_snapshot_does_not_change_the_plan(kind: Kind) -> None:
    ledger = new_ledger(0)
    planner = new_planner(ledger)
    ledger.record_range(0, kind, 0, 20)
    ledger.open_partition(1, 0)
    ranges = drain(planner, {0: 20, 1: 50})
    assert sorted(offset for planned in ranges for offset in planned.wanted) == list(range(20))


def test_a_partition_without_an_end_waits() -> None:
    planner = new_planner(new_ledger(0, 0))
    assert {planned.partition for planned in drain(planner, {1: 15})} == {1}
    assert planner.available({0: 15}) == 15
    assert {planned.partition for planned in drain(planner, {0: 15, 1: 15})} == {0}
