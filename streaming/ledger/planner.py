"""The plan of one round: which bounded range of which partition is read next."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pyroaring import BitMap64

from streaming.ledger.intervals import complement, first_missing, within
from streaming.ledger.ledger import Ledger


class Range(NamedTuple):
    """Offsets `[start, stop)` of one partition to read in one go.

    id: unique within a worker. wanted: the unsettled offsets inside (start and stop - 1 always are among them);
    what is read beside them is settled and must be dropped.
    """

    id: int
    partition: int
    start: int
    stop: int
    wanted: BitMap64


@dataclass
class _Cursor:
    """One partition: below `cut` all is settled, planned or pending. pending: pieces of wanted offsets, last first."""

    cut: int
    settled: BitMap64
    fetched: int
    pending: list[BitMap64] = field(default_factory=list)
    pending_records: int = 0

    def available(self, end: int) -> int:
        """Read in this order it is too high, never 0 by mistake, if another thread cuts a window meanwhile."""
        cut = self.cut
        beyond = end - cut - self.settled.range_cardinality(cut, end) if end > cut else 0
        return self.pending_records + beyond


class Planner:
    """Cuts what a ledger lacks into ranges, round-robin over partitions.

    The ledger is looked at once, here: what is settled later changes nothing, and new partitions wait for the next
    round's planner. A range spans at most `range_records` offsets and about `range_bytes`. Each partition's offsets
    are taken in windows of `backlog_window`; the ranges of a window are drawn in random order, all of them before
    the next window is cut, because producers often send sorted data. Near the log's end a window is what there is.

    One thread draws; others may ask `available` and `fetched`.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        range_records: int,
        range_bytes: int,
        backlog_window: int,
        rng: random.Random,
        first_id: int,
    ) -> None:
        self._range_records = range_records
        self._range_bytes = range_bytes
        self._backlog_window = backlog_window
        self._rng = rng
        self._next_id = first_id
        self._mean_bytes = 0.0
        self._cursors = {
            partition: _Cursor(ledger.position(partition), ledger.ahead(partition), ledger.position(partition))
            for partition in ledger.partitions()
        }
        self._turns = list(self._cursors)  # whose turn it is; the first is next

    def next_range(self, ends: Mapping[int, int]) -> Range | None:
        """The next range below `ends`, or None if nothing is left at the moment.

        ends: partition -> first offset that can't be read yet (last stable offset, or a bounded run's limit); they
        never fall. Partitions that the snapshot doesn't know are ignored, those without an end wait.
        """
        for _ in range(len(self._turns)):
            partition = self._turns.pop(0)
            self._turns.append(partition)
            if partition not in ends:
                continue
            wanted = self._draw(self._cursors[partition], ends[partition])
            if wanted is not None:
                return self._range(partition, wanted)
        return None

    def available(self, ends: Mapping[int, int]) -> int:
        """How many unsettled offsets below `ends` aren't planned yet; 0 exactly when `next_range` gives None."""
        return sum(cursor.available(ends[p]) for p, cursor in self._cursors.items() if p in ends)

    def fetched(self, partition: int) -> int:
        """The highest planned stop, at first the position."""
        return self._cursors[partition].fetched

    def note_size(self, mean_bytes: float) -> None:
        """Tell the mean size of a record; ranges that aren't drawn yet follow it."""
        self._mean_bytes = mean_bytes

    def _range(self, partition: int, wanted: BitMap64) -> Range:
        planned = Range(self._next_id, partition, int(wanted.min()), int(wanted.max()) + 1, wanted)
        self._next_id += 1
        cursor = self._cursors[partition]
        cursor.fetched = max(cursor.fetched, planned.stop)
        return planned

    def _draw(self, cursor: _Cursor, end: int) -> BitMap64 | None:
        if not cursor.pending:
            self._cut_window(cursor, end)
        if not cursor.pending:
            return None
        wanted = cursor.pending.pop()
        if wanted.max() - wanted.min() >= self._span():  # records proved larger since the window was cut
            cursor.pending += reversed(_pieces(wanted, self._span()))
            wanted = cursor.pending.pop()
        cursor.pending_records -= len(wanted)
        return wanted

    def _cut_window(self, cursor: _Cursor, end: int) -> None:
        start = first_missing(cursor.settled, cursor.cut)
        stop = min(start + self._backlog_window, end)
        if start >= stop:
            return
        unsettled = complement(cursor.settled, start, stop)
        cursor.pending = _pieces(unsettled, self._span())
        self._rng.shuffle(cursor.pending)
        cursor.pending_records = len(unsettled)
        cursor.cut = stop

    def _span(self) -> int:
        by_size = int(self._range_bytes / self._mean_bytes) if self._mean_bytes > 0 else self._range_records
        return max(1, min(self._range_records, by_size))


def _pieces(offsets: BitMap64, span: int) -> list[BitMap64]:
    """Cut offsets into pieces, each reaching over at most `span` from its first offset; gaps between them vanish."""
    pieces = []
    last = offsets.max()
    start = offsets.min()
    while True:
        pieces.append(within(offsets, start, start + span))
        if start + span > last:
            return pieces
        start = offsets.next_set_bit(start + span)
