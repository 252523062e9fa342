"""One partition's book: how far it is settled, and as what; settled stretches are sealed."""

from dataclasses import dataclass, field

from pyroaring import BitMap64

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger.entries import Entries
from streaming.ledger.intervals import add, complement, first_missing, span, within
from streaming.ledger.kinds import Kind
from streaming.ledger.sealed import Sealed
from streaming.ledger.segment import Segment

MAX_REASONS = 64
OTHER_REASON = "other"


@dataclass
class Partition:
    """Settled are `[origin, position)` and the offsets in `ahead`, all above position.

    A stretch between two multiples of the segments' size is sealed exactly while all of it is settled, so that equal
    books are sealed alike, whatever their past. entries: those of the offsets that aren't sealed.
    """

    origin: int
    position: int
    ahead: BitMap64 = field(default_factory=BitMap64)
    entries: Entries = field(default_factory=Entries)
    sealed: Sealed = field(default_factory=Sealed)

    @property
    def highest(self) -> int:
        """The first offset above every settled one."""
        return self.ahead.max() + 1 if self.ahead else self.position

    def settled(self) -> BitMap64:
        """Every settled offset."""
        return span(self.origin, self.position) | self.ahead

    def unsettled(self, start: int, stop: int) -> BitMap64:
        """What is owed and not settled inside `[start, stop)`."""
        return complement(self.ahead, max(start, self.position), stop)

    def clash(self, offsets: BitMap64) -> int | None:
        """The lowest of the offsets that is settled."""
        if not offsets:
            return None
        if offsets.min() < self.position:
            return int(offsets.min())
        return None if offsets.isdisjoint(self.ahead) else int((offsets & self.ahead).min())

    def kind_at(self, offset: int) -> Kind | None:
        """How an offset was settled, if it was."""
        segment = self.sealed.at(offset)
        return (segment.entries if segment else self.entries).kind_at(offset)

    def of_kind(self, kind: Kind, start: int, stop: int) -> BitMap64:
        """The offsets inside `[start, stop)` settled as one kind."""
        return within(self.entries.of_kind(kind), start, stop) | self.sealed.of_kind(kind, start, stop)

    def count(self, kind: Kind) -> int:
        """How many offsets were settled as one kind."""
        return len(self.entries.of_kind(kind)) + self.sealed.kinds[kind]

    def reasons(self) -> set[str]:
        """Why offsets were dead-lettered."""
        return self.entries.reasons.keys() | self.sealed.reasons.keys()

    def of_reason(self, reason: str) -> BitMap64:
        """The offsets dead-lettered for a reason."""
        return self.entries.of_reason(reason) | self.sealed.of_reason(reason)

    def add(self, kind: Kind, offsets: BitMap64, reason: str = "") -> None:
        """Settle offsets that aren't settled, and none of which lies below the origin."""
        if offsets:
            self.entries.add(kind, offsets, self._bounded(reason))
            self.ahead |= offsets
            self._advance()
            self._seal(offsets.min(), offsets.max())

    def remove(self, offsets: BitMap64) -> int:
        """Owe again those of the offsets that are settled; returns how many that were."""
        settled = (offsets & self.ahead) | within(offsets, self.origin, self.position)
        if not settled:
            return 0
        for segment in list(self.sealed.touching(settled.min(), settled.max() + 1)):
            if settled.range_cardinality(segment.start, segment.stop):
                self.sealed.take(segment)
                self.entries.update(segment.entries)
        self.entries.remove(settled)
        lowest = min(self.position, settled.min())
        self.ahead = (self.ahead | span(lowest, self.position)) - settled
        self.position = lowest
        return len(settled)

    def absorb(self, other: "Partition") -> None:
        """Settle what another book of this partition has settled. Raises LedgerError where the two contradict."""
        if (other.origin, other.sealed.size) != (self.origin, self.sealed.size):
            raise LedgerError(f"the origin is {self.origin} in one ledger and {other.origin} in another")
        self._absorb(other.entries)
        for segment in other.sealed.ordered():
            if self.sealed.at(segment.start) != segment:
                self._absorb(segment.entries)

    def rebuild(self) -> None:
        """Derive the rest from entries and segments. Raises CheckpointDamaged if these contradict themselves."""
        self.ahead = self.entries.check()
        if self.ahead and self.ahead.min() < self.origin:
            raise CheckpointDamaged(f"the ledger holds offsets below origin {self.origin}")
        lowest, highest = (self.ahead.min(), self.ahead.max()) if self.ahead else (self.origin, self.origin)
        self.position = self.origin
        for segment in self.sealed.ordered():
            if (segment.start, segment.stop) != self._stretch(segment.start // self.sealed.size):
                raise CheckpointDamaged(f"the ledger names sealed history [{segment.start}, {segment.stop})")
            if self.ahead.range_cardinality(segment.start, segment.stop):
                raise CheckpointDamaged("the ledger holds offsets that are sealed already")
            if segment.start == self.position:
                self.position = segment.stop
            else:
                add(self.ahead, segment.start, segment.stop)
        self._advance()
        self._seal(lowest, highest)

    def copy(self) -> "Partition":
        """An independent book with the same content."""
        return Partition(self.origin, self.position, self.ahead.copy(), self.entries.copy(), self.sealed.copy())

    def _absorb(self, entries: Entries) -> None:
        for kind, reason, offsets in entries.groups():
            new = offsets - self._group(kind, reason)
            clash = self.clash(new)
            if clash is not None:
                why = next((known for known in self.reasons() if clash in self.of_reason(known)), "")
                mine, theirs = _described(self.kind_at(clash), why), _described(kind, reason)
                raise AlreadySettled(f"offset {clash} is {mine} in one ledger and {theirs} in another")
            self.add(kind, new, reason)

    def _group(self, kind: Kind, reason: str) -> BitMap64:
        """The offsets of one kind, if they are dead letters those of one reason or of none."""
        if reason:
            return self.of_reason(reason)
        offsets = self.of_kind(kind, self.origin, self.highest)
        return offsets.difference(*map(self.of_reason, self.reasons())) if kind is Kind.DEAD_LETTERED else offsets

    def _bounded(self, reason: str) -> str:
        """A reason that is known or finds room, or the one for all others."""
        known = self.reasons() if reason else set()
        return OTHER_REASON if reason not in known and len(known - {OTHER_REASON}) >= MAX_REASONS else reason

    def _advance(self) -> None:
        if self.position in self.ahead:
            self.position = first_missing(self.ahead, self.position)
            self.ahead.remove_range(0, self.position)

    def _seal(self, lowest: int, highest: int) -> None:
        """Seal what can be between the stretches of two offsets."""
        index: int | None = lowest // self.sealed.size
        while index is not None and index <= highest // self.sealed.size:
            start, stop = self._stretch(index)
            full = stop <= self.position or self.ahead.contains_range(max(start, self.position), stop)
            if full and index not in self.sealed.segments:
                self.sealed.put(Segment(start, stop, self.entries.split(start, stop)))
            index = self._next_stretch(stop)

    def _next_stretch(self, start: int) -> int | None:
        """The first stretch from an offset on in which anything is settled."""
        if start >= self.highest:
            return None
        return (start if start < self.position else self.ahead.next_set_bit(start)) // self.sealed.size

    def _stretch(self, index: int) -> tuple[int, int]:
        return max(index * self.sealed.size, self.origin), (index + 1) * self.sealed.size


def _described(kind: Kind | None, reason: str) -> str:
    return f"{kind} ({reason})" if reason else f"{kind}"
