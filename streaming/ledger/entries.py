"""Which offsets were settled as what, and why: one bitmap a kind, and one a reason of dead letters."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pyroaring import BitMap64

from streaming.errors import CheckpointDamaged
from streaming.ledger.intervals import within
from streaming.ledger.kinds import Kind

_K = TypeVar("_K", Kind, str)
_NONE = BitMap64()


@dataclass
class Entries:
    """Kinds are disjoint. Reasons are disjoint subsets of what is dead-lettered. Neither holds an empty bitmap."""

    kinds: dict[Kind, BitMap64] = field(default_factory=dict)
    reasons: dict[str, BitMap64] = field(default_factory=dict)

    def of_kind(self, kind: Kind) -> BitMap64:
        """A bitmap to look at, not to change."""
        return self.kinds.get(kind, _NONE)

    def of_reason(self, reason: str) -> BitMap64:
        """A bitmap to look at, not to change."""
        return self.reasons.get(reason, _NONE)

    def offsets(self) -> BitMap64:
        """Every offset of any kind."""
        return BitMap64().union(*self.kinds.values())

    def kind_at(self, offset: int) -> Kind | None:
        """How an offset was settled, if it was."""
        return next((kind for kind, bitmap in self.kinds.items() if offset in bitmap), None)

    def add(self, kind: Kind, offsets: BitMap64, reason: str = "") -> None:
        """Enter offsets that aren't here yet."""
        _add(self.kinds, kind, offsets)
        if reason:
            _add(self.reasons, reason, offsets)

    def remove(self, offsets: BitMap64) -> None:
        """Forget offsets; those that aren't here don't matter."""
        _remove(self.kinds, offsets)
        _remove(self.reasons, offsets)

    def update(self, other: "Entries") -> None:
        """Enter everything of another, whose offsets aren't here."""
        for kind, offsets in other.kinds.items():
            _add(self.kinds, kind, offsets)
        for reason, offsets in other.reasons.items():
            _add(self.reasons, reason, offsets)

    def split(self, start: int, stop: int) -> "Entries":
        """Move the entries inside `[start, stop)` out into some of their own."""
        return Entries(_split(self.kinds, start, stop), _split(self.reasons, start, stop))

    def groups(self) -> Iterator[tuple[Kind, str, BitMap64]]:
        """The offsets by kind and reason, "" where there is none; disjoint."""
        for kind, offsets in self.kinds.items():
            yield kind, "", self.unexplained() if kind is Kind.DEAD_LETTERED else offsets
        for reason, offsets in self.reasons.items():
            yield Kind.DEAD_LETTERED, reason, offsets

    def unexplained(self) -> BitMap64:
        """The dead-lettered offsets without a reason."""
        return self.of_kind(Kind.DEAD_LETTERED).difference(*self.reasons.values())

    def copy(self) -> "Entries":
        return Entries(_copies(self.kinds), _copies(self.reasons))

    def check(self) -> BitMap64:
        """Every offset of any kind. Raises CheckpointDamaged if two bitmaps contradict each other."""
        explained = _disjoint(self.reasons.values(), "the ledger holds offsets of two reasons")
        if not explained.issubset(self.of_kind(Kind.DEAD_LETTERED)):
            raise CheckpointDamaged("the ledger holds reasons of offsets that aren't dead-lettered")
        return _disjoint(self.kinds.values(), "the ledger holds offsets of two kinds")

    def bitmaps(self, prefix: str) -> dict[str, BitMap64]:
        """By name, for a blob: `<prefix>/<kind>`, and `<prefix>/reason/<number>` by ascending reason."""
        named = {f"{prefix}/{kind}": bitmap for kind, bitmap in self.kinds.items()}
        for number, reason in enumerate(sorted(self.reasons)):
            named[f"{prefix}/reason/{number}"] = self.reasons[reason]
        return named

    @classmethod
    def of_bitmaps(cls, prefix: str, bitmaps: Mapping[str, BitMap64], reasons: list[str]) -> "Entries":
        """What `bitmaps` gave; reasons: ascending. Raises ValueError or IndexError for names that mean nothing."""
        entries = cls()
        for name, bitmap in bitmaps.items():
            owner, _, key = name.partition("/")
            if owner != prefix or not bitmap:
                continue
            if key.startswith("reason/"):
                entries.reasons[reasons[int(key.removeprefix("reason/"))]] = bitmap
            else:
                entries.kinds[Kind(key)] = bitmap
        return entries


def _add(sets: dict[_K, BitMap64], key: _K, offsets: BitMap64) -> None:
    if not offsets:
        return
    if key in sets:
        sets[key] |= offsets
    else:
        sets[key] = offsets.copy()


def _remove(sets: dict[_K, BitMap64], offsets: BitMap64) -> None:
    for key in [key for key, bitmap in sets.items() if not bitmap.isdisjoint(offsets)]:
        sets[key] -= offsets
        if not sets[key]:
            del sets[key]


def _split(sets: dict[_K, BitMap64], start: int, stop: int) -> dict[_K, BitMap64]:
    moved = {key: part for key, bitmap in sets.items() if (part := within(bitmap, start, stop))}
    for key, part in moved.items():
        part.run_optimize()
        sets[key].remove_range(start, stop)
        if not sets[key]:
            del sets[key]
    return moved


def _copies(sets: dict[_K, BitMap64]) -> dict[_K, BitMap64]:
    for bitmap in sets.values():
        bitmap.run_optimize()  # history becomes runs, so that copies and saves stay small
    return {key: bitmap.copy() for key, bitmap in sets.items()}


def _disjoint(bitmaps: Iterable[BitMap64], complaint: str) -> BitMap64:
    """The union. Raises CheckpointDamaged if an offset stands in two of them."""
    several = list(bitmaps)
    union = BitMap64().union(*several)
    if len(union) != sum(len(bitmap) for bitmap in several):
        raise CheckpointDamaged(complaint)
    return union
