"""When a round ends, and what it makes of what its ranges delivered. Time passes only as the tests say."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from streaming.arrays import Array
from streaming.kafka.tails import Tail
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.ledger.planner import Planner
from streaming.records.batch import Encoded
from streaming.round import HOLD_OUT_BLOCK, Absent, Finding, Held, HoldOut, Round

LINGER_S = 10.0
COALESCE_S = 1.0
RANGE = 10

RangeTuple = tuple[int, int, int, int]


def encoded(offsets: Array, values: Array) -> Encoded:
    """Held-out records as a reader gives them that tells neither timestamps nor headers."""
    return Encoded(offsets, values, values, np.full_like(offsets, -1), np.full_like(values, b""))


class Log:
    """Ends of the log as the round sees them; whenever it looks, `tick_s` passes and records may have come."""

    def __init__(self, tick_s: float = 0.0, arriving: int = 0, **ends: int) -> None:
        self.now_s = 100.0
        self.tick_s = tick_s
        self.arriving = arriving
        self.looks = 0
        self.ends = {int(name.removeprefix("p")): end for name, end in ends.items()}

    def __call__(self) -> dict[int, int]:
        self.looks += 1
        assert self.looks < 1000, "the round waits for something that doesn't happen"
        self.now_s += self.tick_s
        self.ends[0] += self.arriving
        return dict(self.ends)

    def clock(self) -> float:
        return self.now_s


class Pipeline:
    """A round with everything around it but tf.data."""

    def __init__(
        self,
        log: Log,
        *,
        fraction: float = 0.0,
        bounded: bool = False,
        patient: bool = False,
        first_id: int = 0,
        settled: Iterable[int] = (),
    ) -> None:
        self.log = log
        self.ledger = Ledger(Generation("c1", "pets", "t1"))
        for partition in log.ends:
            self.ledger.open_partition(partition, 0)
        self.ledger.record(0, Kind.TRAINED, settled)
        planner = Planner(
            self.ledger,
            range_records=RANGE,
            range_bytes=1 << 20,
            backlog_window=1000,
            rng=random.Random(0),
            first_id=first_id,
        )
        self.round = Round(
            planner,
            log,
            HoldOut(fraction, 0),
            range_records=RANGE,
            linger_s=LINGER_S,
            bounded=bounded,
            patient=patient,
            clock=log.clock,
        )
        self.ranges: Iterator[RangeTuple] = self.round.ranges()

    def deliver(self, found: RangeTuple, *offsets: int) -> list[int]:
        """What a range read, through both callbacks; returns the offsets that go on to be trained."""
        read = np.array(offsets, np.int64)
        train, hold = self.round.delivered(found[0], read, 100 * len(read))
        values = np.array([b"value %d" % offset for offset in read[hold]], object)
        self.round.held_out(found[0], encoded(read[hold], values))
        kept: list[int] = read[train].tolist()
        return kept

    def deliver_all(self, found: RangeTuple) -> list[int]:
        return self.deliver(found, *range(found[2], found[3]))

    def settle(self, found: RangeTuple, records: int) -> None:
        self.round.settled(np.full(records, found[0]))

    def findings(self) -> list[Any]:
        return [_plain(finding) for finding in self.round.findings()]

    @property
    def over(self) -> bool:
        """Nothing more is handed out, after as much time as the log lets pass."""
        return next(self.ranges, None) is None


def _plain(finding: Finding) -> Any:
    return finding._replace(offsets=finding.offsets.tolist()) if isinstance(finding, Absent) else finding


def test_a_backlog_is_handed_out_as_fast_as_it_is_asked_for() -> None:
    pipeline = Pipeline(Log(p0=90, p1=10))
    handed = list(islice(pipeline.ranges, 10))
    assert sum(stop - start for _, _, start, stop in handed) == 100
    assert [range_id for range_id, *_ in handed] == list(range(10))
    assert pipeline.log.now_s == 100.0


def test_a_round_goes_on_while_there_is_a_backlog_however_old_its_records_are() -> None:
    pipeline = Pipeline(Log(p0=50))
    first = next(pipeline.ranges)
    pipeline.deliver_all(first)
    pipeline.log.now_s += 10 * LINGER_S
    assert next(pipeline.ranges)[0] == 1


def test_without_a_backlog_a_round_ends_when_its_oldest_record_has_lingered() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    began_s = pipeline.log.now_s
    pipeline.deliver_all(next(pipeline.ranges))
    pipeline.log.tick_s, pipeline.log.arriving = 1.0, 1
    later = [pipeline.deliver_all(found) for found in pipeline.ranges]
    assert later
    assert LINGER_S <= pipeline.log.now_s - began_s <= LINGER_S + 2


@pytest.mark.parametrize(("patient", "handed"), [(False, 1), (True, 2)])
def test_a_patient_round_hands_out_the_last_record_however_old_the_others_are(patient: bool, handed: int) -> None:
    pipeline = Pipeline(Log(p0=RANGE), patient=patient)
    ranges = []
    for found in pipeline.ranges:
        ranges.append(found)
        pipeline.deliver_all(found)
        pipeline.log.ends[0] = RANGE + 3
        pipeline.log.now_s += 2 * LINGER_S
        pipeline.log.tick_s = COALESCE_S
    assert len(ranges) == handed


def test_a_record_that_was_settled_no_longer_ages() -> None:
    pipeline = Pipeline(Log(tick_s=1.0, p0=RANGE))
    first = next(pipeline.ranges)
    pipeline.deliver_all(first)
    pipeline.log.now_s += LINGER_S - 2
    pipeline.log.ends[0] = 2 * RANGE
    second = next(pipeline.ranges)
    pipeline.deliver_all(second)
    pipeline.settle(first, RANGE)
    began_s = pipeline.log.now_s
    assert pipeline.over
    assert pipeline.log.now_s - began_s >= LINGER_S - 3


def test_a_round_that_has_settled_all_there_is_ends_at_once() -> None:
    pipeline = Pipeline(Log(tick_s=1.0, p0=4))
    found = next(pipeline.ranges)
    pipeline.log.tick_s = 0.0
    pipeline.deliver_all(found)
    pipeline.settle(found, 4)
    assert pipeline.over


def test_a_round_is_not_quiet_before_its_held_out_records_were_handed_over() -> None:
    pipeline = Pipeline(Log(p0=RANGE), fraction=0.999999)
    found = next(pipeline.ranges)
    offsets = np.arange(RANGE)
    train, hold = pipeline.round.delivered(found[0], offsets, 1)
    assert not train.any()
    assert hold.all()
    pipeline.log.ends[0] += RANGE
    assert next(pipeline.ranges)[2:] == (RANGE, 2 * RANGE)
    values = np.array([b"v"] * RANGE, object)
    pipeline.round.held_out(found[0], encoded(offsets, values))
    assert len(list(pipeline.round.findings())) == 1


def test_a_round_of_holes_alone_ends_at_once() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    pipeline.deliver(next(pipeline.ranges), -1)
    assert pipeline.over


def test_a_bounded_round_ends_with_its_last_range() -> None:
    pipeline = Pipeline(Log(p0=25), bounded=True)
    assert sum(stop - start for _, _, start, stop in pipeline.ranges) == 25
    assert pipeline.log.now_s == 100.0
    assert pipeline.over


def test_a_stopped_round_hands_out_nothing_more() -> None:
    pipeline = Pipeline(Log(p0=100))
    next(pipeline.ranges)
    pipeline.round.stop()
    assert pipeline.over


def test_few_records_wait_a_moment_for_more_to_fill_a_range() -> None:
    pipeline = Pipeline(Log(tick_s=0.05, arriving=1, p0=1))
    next(pipeline.ranges)
    assert pipeline.log.ends[0] >= RANGE
    assert pipeline.log.now_s - 100.0 < COALESCE_S
    slow = Pipeline(Log(tick_s=0.25, p0=3))
    assert next(slow.ranges)[2:] == (0, 3)
    assert COALESCE_S <= slow.log.now_s - 100.0 <= COALESCE_S + 1


def test_missing_offsets_before_a_later_record_are_absent_and_a_missing_tail_is_to_be_proven() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    assert pipeline.deliver(next(pipeline.ranges), 1, 2, 5) == [1, 2, 5]
    assert pipeline.findings() == [Absent(0, [0, 3, 4]), Tail(0, 6, RANGE)]


def test_a_record_beyond_the_range_proves_its_tail_absent_and_is_dropped() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    assert pipeline.deliver(next(pipeline.ranges), 7, 8, 13) == [7, 8]
    assert pipeline.findings() == [Absent(0, [0, 1, 2, 3, 4, 5, 6, 9])]


def test_a_range_that_delivers_nothing_is_a_tail() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    assert pipeline.deliver(next(pipeline.ranges), -1) == []
    assert pipeline.findings() == [Tail(0, 0, RANGE)]


def test_what_is_settled_already_is_dropped_and_is_no_hole() -> None:
    pipeline = Pipeline(Log(p0=RANGE), bounded=True, settled=[2, 3, 4])
    assert pipeline.deliver_all(next(pipeline.ranges)) == [0, 1, 5, 6, 7, 8, 9]
    assert pipeline.findings() == []


def test_ranges_of_an_abandoned_round_are_ignored() -> None:
    abandoned = Pipeline(Log(p0=2 * RANGE))
    late = next(abandoned.ranges)
    current = Pipeline(Log(p0=2 * RANGE), first_id=1 << 32, fraction=0.5)
    found = next(current.ranges)
    assert current.deliver(late, *range(late[2], late[3])) == []
    assert current.findings() == []
    assert current.round.take_fetched() == (0, 0)
    assert found[0] != late[0]


def test_a_range_is_taken_once() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    found = next(pipeline.ranges)
    assert len(pipeline.deliver_all(found)) == RANGE
    assert pipeline.deliver_all(found) == []


def test_records_settled_in_parts_and_across_ranges_are_counted_off() -> None:
    pipeline = Pipeline(Log(p0=2 * RANGE))
    first, second = islice(pipeline.ranges, 2)
    pipeline.deliver_all(first)
    pipeline.deliver_all(second)
    pipeline.round.settled(np.array([first[0]] * 4 + [second[0]] * 9))
    pipeline.round.settled(np.array([second[0]] + [first[0]] * 5))
    pipeline.log.now_s += LINGER_S - 1
    pipeline.settle(first, 1)
    assert pipeline.over
    assert pipeline.log.now_s == 100.0 + LINGER_S - 1


def test_what_was_fetched_is_told_once() -> None:
    pipeline = Pipeline(Log(p0=2 * RANGE, p1=3), bounded=True)
    found = list(pipeline.ranges)
    for one in found:
        pipeline.deliver_all(one)
    assert pipeline.round.take_fetched() == (23, 2300)
    assert pipeline.round.take_fetched() == (0, 0)
    assert pipeline.round.fetched == {0: 20, 1: 3}


def test_a_round_is_busy_while_something_is_read_or_waits_for_its_batch() -> None:
    pipeline = Pipeline(Log(p0=2 * RANGE))
    assert not pipeline.round.busy
    first = next(pipeline.ranges)
    assert pipeline.round.busy
    pipeline.deliver_all(first)
    assert pipeline.round.busy


def test_a_log_is_level_when_less_than_a_range_is_left() -> None:
    pipeline = Pipeline(Log(p0=RANGE))
    assert not pipeline.round.level
    next(pipeline.ranges)
    assert pipeline.round.level


@pytest.mark.parametrize("fraction", [0.02, 0.3])
def test_blocks_of_32_offsets_stay_on_one_side_and_their_share_is_right(fraction: float) -> None:
    offsets = np.arange(20_000 * HOLD_OUT_BLOCK)
    chosen = HoldOut(fraction, 5).chosen(3, offsets).reshape(-1, HOLD_OUT_BLOCK)
    assert (chosen == chosen[:, :1]).all()
    assert abs(chosen[:, 0].mean() - fraction) < 0.15 * fraction
    other = HoldOut(fraction, 5).chosen(4, offsets).reshape(-1, HOLD_OUT_BLOCK)
    assert (chosen[:, 0] != other[:, 0]).any()


def test_no_fraction_holds_nothing_out() -> None:
    assert not HoldOut(0.0, 0).chosen(0, np.arange(100_000)).any()


def test_held_out_records_are_found_and_never_trained() -> None:
    pipeline = Pipeline(Log(p0=1000), fraction=0.4, bounded=True)
    hold_out = HoldOut(0.4, 0)
    trained = [offset for found in pipeline.ranges for offset in pipeline.deliver_all(found)]
    held = [finding for finding in pipeline.round.findings() if isinstance(finding, Held)]
    offsets = np.concatenate([finding.records.offset for finding in held])
    assert hold_out.chosen(0, offsets).all()
    assert not hold_out.chosen(0, np.array(trained)).any()
    assert sorted([*trained, *offsets.tolist()]) == list(range(1000))
    assert all(finding.records.value[0] == b"value %d" % finding.records.offset[0] for finding in held)
