"""The sealed segments of one partition, with their sums."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyroaring import BitMap64

from streaming.ledger.intervals import within
from streaming.ledger.kinds import Kind
from streaming.ledger.segment import SEGMENT_OFFSETS, Segment


@dataclass
class Sealed:
    """segments: by `start // size`; a segment ends where `size` divides, and begins there or at the origin.

    kinds: sealed offsets by kind. reasons: in how many segments a reason stands.
    """

    size: int = SEGMENT_OFFSETS
    segments: dict[int, Segment] = field(default_factory=dict)
    kinds: Counter[Kind] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def put(self, segment: Segment) -> None:
        """Take in a segment. Raises ValueError if its place is taken."""
        if self.at(segment.start) is not None:
            raise ValueError(f"[{segment.start}, {segment.stop}) is sealed already")
        self.segments[segment.start // self.size] = segment
        self.kinds.update(segment.counts)
        self.reasons.update(segment.entries.reasons.keys())

    def take(self, segment: Segment) -> None:
        """Give back a segment that is here."""
        del self.segments[segment.start // self.size]
        self.kinds.subtract(segment.counts)
        self.reasons.subtract(segment.entries.reasons.keys())
        self.kinds, self.reasons = +self.kinds, +self.reasons

    def at(self, offset: int) -> Segment | None:
        """The segment that holds an offset, if it is sealed."""
        return self.segments.get(offset // self.size)

    def touching(self, start: int, stop: int) -> Iterator[Segment]:
        """The segments that have offsets inside `[start, stop)`, in no order."""
        last = max(start, stop - 1) // self.size
        if last - start // self.size < len(self.segments):
            indexes = [index for index in range(start // self.size, last + 1) if index in self.segments]
        else:
            indexes = list(self.segments)
        found = (self.segments[index] for index in indexes)
        return (segment for segment in found if segment.start < stop and start < segment.stop)

    def of_kind(self, kind: Kind, start: int, stop: int) -> BitMap64:
        """The sealed offsets inside `[start, stop)` of one kind."""
        bitmaps = (segment.entries.of_kind(kind) for segment in self.touching(start, stop))
        return within(BitMap64().union(*bitmaps), start, stop)

    def of_reason(self, reason: str) -> BitMap64:
        """The sealed offsets that were dead-lettered for a reason."""
        return BitMap64().union(*(segment.entries.of_reason(reason) for segment in self.segments.values()))

    def ordered(self) -> list[Segment]:
        """The segments, ascending."""
        return [self.segments[index] for index in sorted(self.segments)]

    def copy(self) -> "Sealed":
        """Another collection of the same segments."""
        return Sealed(self.size, self.segments.copy(), self.kinds.copy(), self.reasons.copy())
