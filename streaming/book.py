"""Everything that settles an offset goes through here: ledger, counters, breaker and dead letters together."""

import time
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import structlog

from streaming.arrays import Array
from streaming.kafka.dead_letters import DeadLetters
from streaming.kafka.tails import Tail
from streaming.ledger.ledger import Kind, Ledger
from streaming.metrics import Tally
from streaming.records.batch import Batch, Rejected
from streaming.records.breaker import BadRecord, Breaker
from streaming.records.decode import EMPTY
from streaming.records.original import opened
from streaming.records.reasons import Reasons

AHEAD_S = 3600.0  # an event time further in the future is a producer's mistake, such as microseconds

_log = structlog.get_logger()


class Book:
    """Owns the ledger; belongs to the main thread. Closed until the origins of a new training are known."""

    def __init__(self, letters: DeadLetters, max_bad_fraction: float, tally: Tally) -> None:
        self._ledger: Ledger | None = None
        self._letters = letters
        self._max_bad_fraction = max_bad_fraction
        self._breaker = Breaker(max_bad_fraction, proven=False)
        self._reasons = Reasons()
        self._tally = tally
        self.newest_event_time_s: float | None = None

    def close(self) -> None:
        """For good: no letter is written any more."""
        self._letters.stop()

    def open(self, ledger: Ledger, breaker: Mapping[str, Any] | None = None) -> None:
        """From now on this is the ledger. breaker: as `breaker_state` gave it to the same checkpoint."""
        counts = ledger.counts()
        self._ledger = ledger
        self._reasons = Reasons(reason for partition in ledger.partitions() for reason in ledger.reasons(partition))
        proven = counts[Kind.TRAINED] + counts[Kind.HELD_OUT] > 0
        self._breaker = Breaker(self._max_bad_fraction, proven=proven, state=breaker)

    def breaker_state(self) -> dict[str, Any]:
        """JSON values."""
        return self._breaker.state()

    @property
    def is_open(self) -> bool:
        return self._ledger is not None

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None, "the book is closed"
        return self._ledger

    @property
    def pending(self) -> int:
        """Bad records whose letters are on their way: they are not settled, and must not be read again yet."""
        return self._letters.pending

    @property
    def quiet(self) -> bool:
        """Whatever was taken from the pipeline is settled."""
        return not self.pending and not self._breaker.holding

    def trained(self, partition: Array, offset: Array, event_time_ms: Array) -> None:
        """int64[N] each, of one batch whose step has been taken."""
        for number in np.unique(partition).tolist():
            self.ledger.record(number, Kind.TRAINED, offset[partition == number])
        self._tally.add("records_trained_total", len(offset))
        now_s = time.time()
        times_s = event_time_ms[event_time_ms >= 0] / 1000
        believed = times_s[times_s <= now_s + AHEAD_S]
        if len(believed):
            self.newest_event_time_s = max(float(believed.max()), self.newest_event_time_s or 0.0)
            self._tally.observe("freshness_seconds", *(now_s - believed).tolist())

    def held_out(self, partition: int, offsets: list[int]) -> None:
        self.ledger.record(partition, Kind.HELD_OUT, offsets)
        self._tally.add("records_held_out_total", len(offsets))

    def rejected(self, bad: Iterable[BadRecord], good: int) -> None:
        """Records that left a batch of which `good` were fine. Raises TrainingStopped when too many are bad."""
        skipped: list[BadRecord] = []
        refused: list[BadRecord] = []
        for one in bad:
            if one.reason == EMPTY:
                skipped.append(one)
            else:
                refused.append(self._named(one))
        self._settle(skipped, Kind.SKIPPED, "records_skipped_total")
        self._send(self._breaker.admit(good, refused))

    def quarantine(self, one: BadRecord) -> None:
        """A record that nobody has read: the breaker has no say in it. It is settled when its letter is durable."""
        self._send([self._named(one)])

    def reset_breaker(self) -> None:
        """An operator wants to go on: count anew, and believe in the format."""
        self._breaker = Breaker(self._max_bad_fraction, proven=True)

    def drop_unproven(self) -> int:
        """A round is over without a good record: its bad ones are to be read again. Returns how many they are."""
        return len(self._breaker.release())

    def release(self) -> None:
        """A round is over: bad records that waited for a first good one are judged without it."""
        self._send(self._breaker.release())

    def acknowledge(self) -> None:
        """Settle the records whose letters are durable."""
        self._settle(list(self._letters.delivered()), Kind.DEAD_LETTERED, "records_dead_lettered_total")

    def absent(self, partition: int, offsets: Array) -> None:
        """int64[N]: proven never to have existed for a committed reader; a proof of a tail may have said so before."""
        known = self.ledger.of_kind(partition, Kind.ABSENT, int(offsets.min()), int(offsets.max()) + 1)
        self.ledger.record(partition, Kind.ABSENT, [offset for offset in offsets.tolist() if offset not in known])

    def absent_tail(self, tail: Tail) -> None:
        self.ledger.record_range(tail.partition, Kind.ABSENT, tail.start, tail.stop)

    def lost_before(self, partition: int, log_start: int) -> None:
        """Retention has removed everything below log_start."""
        position = self.ledger.position(partition)
        lost = self.ledger.record_range(partition, Kind.LOST, position, log_start)
        if lost:
            self._tally.add("records_lost_total", lost)
            _log.error("records_lost", partition=partition, start=position, stop=log_start, records=lost)

    def _send(self, bad: list[BadRecord]) -> None:
        self._letters.send(bad, self.ledger.generation.topic_id)

    def _named(self, one: BadRecord) -> BadRecord:
        """Under a reason that may be a metric's label; a new one is told at once, before its letter is written."""
        named, new = self._reasons.named(one)
        if new:
            _log.warning(
                "new_dead_letter_reason",
                reason=named.reason,
                partition=named.partition,
                offset=named.offset,
                detail=named.detail,
            )
        return named

    def _settle(self, records: list[BadRecord], kind: Kind, counter: str) -> None:
        for partition, group in groupby(sorted(records), key=attrgetter("partition")):
            members = list(group)
            if kind is Kind.DEAD_LETTERED:
                for reason in sorted({one.reason for one in members}):
                    offsets = [one.offset for one in members if one.reason == reason]
                    self.ledger.record(partition, kind, offsets, reason)
            else:
                self.ledger.record(partition, kind, [one.offset for one in members])
            for one in members:
                self._tally.add(counter, reason=one.reason)
            _log.warning(
                f"records_{kind}",
                partition=partition,
                offsets=sorted(one.offset for one in members),
                reasons=sorted({one.reason for one in members}),
                example=members[0].detail,
            )


def bad_records(rejected: Rejected) -> list[BadRecord]:
    """A batch's rejected rows as values."""
    return [
        BadRecord(
            int(partition), int(offset), reason.decode(), detail.decode(), opened(envelope, value, key, int(timestamp))
        )
        for partition, offset, _, timestamp, reason, detail, value, key, envelope in zip(*rejected, strict=True)
    ]


def batch_range_ids(batch: Batch) -> Array:
    """int64[N + M]: of the kept and of the rejected."""
    return np.concatenate([batch.range_id, batch.rejected.range_id])
