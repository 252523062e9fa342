"""One round: the ranges handed to the tf.data pipeline, what came of each, and when the round is over.

A round goes on while there is a backlog. Without one it ends as soon as its oldest record has waited `linger_s`:
the generator stops, the pipeline drains, the last batch is short.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from streaming.arrays import Array
from streaming.kafka.tails import Tail
from streaming.ledger.planner import Range
from streaming.records.augment import stateless_hash
from streaming.records.batch import Encoded

HOLD_OUT_BLOCK = 32  # offsets; blocks keep neighbouring frames on one side
COALESCE_LIMIT_S = 1.0
POLL_S = 0.05
QUEUE_FINDINGS = 1024


class Absent(NamedTuple):
    """Offsets (int64[N]) that a later record of the same range proves never to have existed."""

    partition: int
    offsets: Array


class Held(NamedTuple):
    """Records held out for evaluation."""

    partition: int
    records: Encoded


Finding = Absent | Held | Tail


class HoldOut(NamedTuple):
    """Which offsets are never trained: blocks of 32 whose hash falls below `fraction`."""

    fraction: float
    seed: int

    def chosen(self, partition: int, offsets: Array) -> Array:
        """offsets: int64[N]. Returns bool[N]."""
        blocks = offsets // HOLD_OUT_BLOCK
        drawn = stateless_hash(self.seed, np.full_like(blocks, partition), blocks)
        return (drawn >> np.uint64(11)).astype(np.float64) < self.fraction * 2.0**53


class Plan(Protocol):
    """What comes next; the ends are partition -> first offset that can't be read yet."""

    def next_range(self, ends: Mapping[int, int]) -> Range | None: ...

    def available(self, ends: Mapping[int, int]) -> int: ...

    def note_size(self, mean_bytes: float) -> None: ...


class Flight(NamedTuple):
    """Records of one range that are read and not settled. since: clock seconds."""

    since: float
    records: int


class Round:
    """`Intake` and range generator of one iteration of the pipeline. Thread-safe.

    `findings` is drained by the main thread; with an abandoned round its queue goes too, so that nothing late is
    believed. bounded: the ends are frozen, nothing more comes. patient: nothing ends the round while records are left,
    for where it ends a batch is short.
    """

    def __init__(
        self,
        planner: Plan,
        ends: Callable[[], Mapping[int, int]],
        hold_out: HoldOut,
        *,
        range_records: int,
        linger_s: float,
        bounded: bool,
        patient: bool = False,
        clock: Callable[[], float],
    ) -> None:
        self._planner = planner
        self._ends = ends
        self._hold_out = hold_out
        self._findings: queue.Queue[Finding] = queue.Queue(QUEUE_FINDINGS)
        self._range_records = range_records
        self._linger_s = linger_s
        self._coalesce_s = 0.0 if bounded else min(linger_s / 10, COALESCE_LIMIT_S)
        self._bounded = bounded
        self._patient = patient
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._open: dict[int, Range] = {}
        self._holding: dict[int, Range] = {}  # delivered, its hold-out records not yet seen
        self._flights: dict[int, Flight] = {}
        self._waiting_since: float | None = None
        self._stopping = False
        self._fetched_records = 0
        self._fetched_bytes = 0
        self._mean_bytes = 0.0
        self.fetched: dict[int, int] = {}

    def stop(self) -> None:
        """No further range is handed out; what is read drains."""
        self._stopping = True
        self._wake.set()

    @property
    def mean_bytes(self) -> float:
        """Of the records seen last; 0 while unknown."""
        return self._mean_bytes

    @property
    def busy(self) -> bool:
        """Something is being read, or is read and not settled."""
        with self._lock:
            return bool(self._open or self._holding or self._flights)

    @property
    def level(self) -> bool:
        """No more than a range is left to read, so new records should be seen at once."""
        return self._planner.available(self._ends()) < self._range_records

    def findings(self) -> Iterator[Finding]:
        """What was found since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._findings.get_nowait()

    def take_fetched(self) -> tuple[int, int]:
        """Records and bytes fetched since the last call."""
        with self._lock:
            fetched = self._fetched_records, self._fetched_bytes
            self._fetched_records = self._fetched_bytes = 0
        return fetched

    def ranges(self) -> Iterator[tuple[int, int, int, int]]:
        """Yields (range id, partition, start, stop) until the round is over."""
        while not self._over():
            found = self._next()
            if found is None:
                self._wake.wait(POLL_S)
                self._wake.clear()
                continue
            with self._lock:
                self._open[found.id] = found
            yield found.id, found.partition, found.start, found.stop

    def _over(self) -> bool:
        if self._stopping:
            return True
        available = self._planner.available(self._ends())
        if available >= (1 if self._patient else self._range_records):
            return False
        with self._lock:
            oldest = min((flight.since for flight in self._flights.values()), default=None)
        if oldest is not None and self._clock() - oldest >= self._linger_s:
            return True
        return available == 0 and (self._bounded or not self.busy)

    def _next(self) -> Range | None:
        """The next range, unless waiting a little makes it a fuller one."""
        ends, now = self._ends(), self._clock()
        available = self._planner.available(ends)
        if available == 0:
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        if available < self._range_records and now - self._waiting_since < self._coalesce_s:
            return None
        self._waiting_since = None
        return self._planner.next_range(ends)

    def delivered(self, range_id: int, offsets: Array, size_bytes: int) -> tuple[Array, Array]:
        """See `Intake`. Ranges of an abandoned round are unknown here: all of theirs is dropped."""
        with self._lock:
            found = self._open.get(range_id)
        if found is None:
            nothing = np.zeros(len(offsets), bool)
            return nothing, nothing
        wanted = np.fromiter(found.wanted, np.int64, len(found.wanted))
        keep = np.isin(offsets, wanted)
        held = keep & self._hold_out.chosen(found.partition, offsets)
        train = keep & ~held
        self._report_holes(found, wanted, offsets)
        trained = int(train.sum())
        with self._lock:
            if trained:
                self._flights[range_id] = Flight(self._clock(), trained)
            del self._open[range_id]
            self._holding[range_id] = found
            records = int((offsets >= 0).sum())
            self._fetched_records += records
            self._fetched_bytes += size_bytes
            self.fetched[found.partition] = max(found.stop, self.fetched.get(found.partition, 0))
        if records:
            self._mean_bytes = size_bytes / records
            self._planner.note_size(self._mean_bytes)
        return train, held

    def held_out(self, range_id: int, records: Encoded) -> None:
        """See `Intake`."""
        with self._lock:
            found = self._holding.pop(range_id, None)
        if found is not None and len(records.offset):
            self._findings.put(Held(found.partition, records))

    def settled(self, range_ids: Array) -> None:
        """int64[N]: a record each that has left the pipeline, trained or rejected."""
        ids, counts = np.unique(range_ids, return_counts=True)
        with self._lock:
            for range_id, count in zip(ids.tolist(), counts.tolist(), strict=True):
                flight = self._flights[range_id]
                if flight.records == count:
                    del self._flights[range_id]
                else:
                    self._flights[range_id] = flight._replace(records=flight.records - count)

    def _report_holes(self, found: Range, wanted: Array, offsets: Array) -> None:
        """What was wanted and not delivered: proven absent by any later record, otherwise a tail to be proven."""
        missing = np.setdiff1d(wanted, offsets, assume_unique=True)
        if not len(missing):
            return
        last = int(offsets.max(initial=-1))
        proven, tail = missing[missing < last], missing[missing > last]
        if len(proven):
            self._findings.put(Absent(found.partition, proven))
        if len(tail):
            self._findings.put(Tail(found.partition, int(tail[0]), found.stop))
