"""One partition's book: how far it is settled, and as what."""

from dataclasses import dataclass, field

from pyroaring import BitMap64

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger.entries import Entries
from streaming.ledger.intervals import complement, first_missing, span, within
from streaming.ledger.kinds import Kind

MAX_REASONS = 64
OTHER_REASON = "other"


@dataclass
class Partition:
    """Settled are `[origin, position)` and the offsets in `ahead`, all above position."""

    origin: int
    position: int
    ahead: BitMap64 = field(default_factory=BitMap64)
    entries: Entries = field(default_factory=Entries)

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
        return self.entries.kind_at(offset)

    def of_kind(self, kind: Kind, start: int, stop: int) -> BitMap64:
        """The offsets inside `[start, stop)` settled as one kind."""
        return within(self.entries.of_kind(kind), start, stop)

    def count(self, kind: Kind) -> int:
        """How many offsets were settled as one kind."""
        return len(self.entries.of_kind(kind))

    def reasons(self) -> set[str]:
        """Why offsets were dead-lettered."""
        return set(self.entries.reasons)

    def of_reason(self, reason: str) -> BitMap64:
        """The offsets dead-lettered for a reason."""
        return self.entries.of_reason(reason).copy()

    def add(self, kind: Kind, offsets: BitMap64, reason: str = "") -> None:
        """Settle offsets that aren't settled, and none of which lies below the origin."""
        if offsets:
            self.entries.add(kind, offsets, self._bounded(reason))
            self.ahead |= offsets
            self._advance()

    def remove(self, offsets: BitMap64) -> int:
        """Owe again those of the offsets that are settled; returns how many that were."""
        settled = (offsets & self.ahead) | within(offsets, self.origin, self.position)
        if not settled:
            return 0
        self.entries.remove(settled)
        lowest = min(self.position, settled.min())
        self.ahead = (self.ahead | span(lowest, self.position)) - settled
        self.position = lowest
        return len(settled)

    def absorb(self, other: "Partition") -> None:
        """Settle what another book of this partition has settled. Raises LedgerError where the two contradict."""
        if other.origin != self.origin:
            raise LedgerError(f"the origin is {self.origin} in one ledger and {other.origin} in another")
        for kind, offsets in other.entries.kinds.items():
            new = offsets - self.entries.of_kind(kind)
            clash = self.clash(new)
            if clash is not None:
                raise AlreadySettled(f"offset {clash} is {self.kind_at(clash)} in one ledger and {kind} in another")
            self.add(kind, new)
        for reason, offsets in other.entries.reasons.items():
            new = offsets - self.entries.of_reason(reason)
            if any(not new.isdisjoint(explained) for explained in self.entries.reasons.values()):
                raise AlreadySettled(f"offset {new.min()} or above is dead-lettered for two reasons, one is {reason}")
            self.entries.explain(self._bounded(reason), new)

    def rebuild(self) -> None:
        """Derive position and `ahead` from the entries. Raises CheckpointDamaged if these contradict themselves."""
        self.ahead = self.entries.check()
        if self.ahead and self.ahead.min() < self.origin:
            raise CheckpointDamaged(f"the ledger holds offsets below origin {self.origin}")
        self.position = self.origin
        self._advance()

    def copy(self) -> "Partition":
        """An independent book with the same content."""
        return Partition(self.origin, self.position, self.ahead.copy(), self.entries.copy())

    def _bounded(self, reason: str) -> str:
        """A reason that is known or finds room, or the one for all others."""
        known = self.reasons()
        return reason if not reason or reason in known or len(known - {OTHER_REASON}) < MAX_REASONS else OTHER_REASON

    def _advance(self) -> None:
        if self.position in self.ahead:
            self.position = first_missing(self.ahead, self.position)
            self.ahead.remove_range(0, self.position)
