"""The plan of a deterministic round: the same ranges in the same order, whatever was settled before."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyroaring import BitMap64

from streaming.ledger.intervals import complement, first_missing
from streaming.ledger.ledger import Ledger
from streaming.ledger.planner import Range

BLOCK = 256  # offsets


@dataclass
class _Cursor:
    """One partition: below `cut` all is settled or planned."""

    cut: int
    settled: BitMap64

    def available(self, end: int) -> int:
        return end - self.cut - self.settled.range_cardinality(self.cut, end) if end > self.cut else 0


class OrderedPlanner:
    """A `Plan` whose records have one total order: by block of 256 offsets, then partition, then offset.

    Ranges never cross a multiple of 256. What is settled leaves gaps and changes nothing about the order of the rest,
    so a training that goes on from any ledger of whole batches sees the batches that it would have seen. New records
    of a partition come in at their place, so the order is certain for records that are there from the beginning.
    """

    def __init__(self, ledger: Ledger, *, first_id: int) -> None:
        self._next_id = first_id
        self._cursors = {
            partition: _Cursor(ledger.position(partition), ledger.ahead(partition)) for partition in ledger.partitions()
        }

    def next_range(self, ends: Mapping[int, int]) -> Range | None:
        """The lowest block's rest; see `Planner.next_range`."""
        open_ones = ((p, cursor) for p, cursor in self._cursors.items() if p in ends and cursor.available(ends[p]))
        firsts = ((first_missing(cursor.settled, cursor.cut), p) for p, cursor in open_ones)
        lowest = min(((first // BLOCK, p, first) for first, p in firsts), default=None)
        if lowest is None:
            return None
        block, partition, first = lowest
        cursor = self._cursors[partition]
        stop = min((block + 1) * BLOCK, ends[partition])
        wanted = complement(cursor.settled, first, stop)
        cursor.cut = stop
        planned = Range(self._next_id, partition, int(wanted.min()), int(wanted.max()) + 1, wanted)
        self._next_id += 1
        return planned

    def available(self, ends: Mapping[int, int]) -> int:
        """See `Planner.available`."""
        return sum(cursor.available(ends[p]) for p, cursor in self._cursors.items() if p in ends)

    def note_size(self, mean_bytes: float) -> None:
        """Ranges follow their blocks, whatever the records' size."""
