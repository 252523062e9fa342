"""The ledger: what became of every offset of a topic generation, and nothing else decides what is read again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap64

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger import blob as blobs
from streaming.ledger.entries import Entries
from streaming.ledger.intervals import intervals, span
from streaming.ledger.kinds import Generation, Kind
from streaming.ledger.partition import Partition
from streaming.ledger.sealed import Sealed
from streaming.ledger.segment import SEGMENT_OFFSETS, Segment

__all__ = ["Generation", "Kind", "Ledger", "Offsets"]

FORMAT_VERSION = 2  # 1: without reasons and sealed history
Offsets = npt.NDArray[np.int64] | BitMap64 | Iterable[int]


class Ledger:
    """Per partition an origin (the first offset ever owed) and one set of offsets a kind, disjoint.

    Offsets are int64, 0..2**63 - 1. Not thread-safe: one thread owns it and hands copies to others.
    """

    def __init__(self, generation: Generation, segment_offsets: int = SEGMENT_OFFSETS) -> None:
        """segment_offsets: the size of a stretch that is sealed once all of it is settled."""
        if segment_offsets < 1:
            raise ValueError(f"{segment_offsets} offsets are no segment")
        self.generation = generation
        self._segment_offsets = segment_offsets
        self._partitions: dict[int, Partition] = {}

    def open_partition(self, partition: int, origin: int) -> None:
        """Owe every offset of a partition from `origin` on. Raises LedgerError if it is open already."""
        if partition in self._partitions:
            raise LedgerError(f"{self._name(partition)} is open already, with origin {self.origin(partition)}")
        if partition < 0 or origin < 0:
            raise LedgerError(f"{self._name(partition)} can't begin at offset {origin}")
        self._partitions[partition] = Partition(origin, origin, sealed=Sealed(self._segment_offsets))

    def partitions(self) -> list[int]:
        """The open partitions, ascending."""
        return sorted(self._partitions)

    def origin(self, partition: int) -> int:
        """The first offset ever owed."""
        return self._of(partition).origin

    def position(self, partition: int) -> int:
        """The first offset that isn't settled; kept up to date by `record`, so asking is free."""
        return self._of(partition).position

    def ahead(self, partition: int) -> BitMap64:
        """A copy of the settled offsets above the position: no larger than what is in flight."""
        return self._of(partition).ahead.copy()

    def settled(self, partition: int) -> BitMap64:
        """Every settled offset, whatever its kind."""
        return self._of(partition).settled()

    def unsettled(self, partition: int, start: int, stop: int) -> BitMap64:
        """The offsets inside `[start, stop)` that are owed (at or above the origin) and not settled."""
        return self._of(partition).unsettled(start, stop)

    def highest(self, partition: int) -> int:
        """The first offset above every settled one; the position if nothing is settled above it."""
        return self._of(partition).highest

    def record(self, partition: int, kind: Kind, offsets: Offsets, reason: str = "") -> None:
        """Settle offsets (int64[N], any order, or a bitmap) as one kind; all of them or, if it raises, none.

        reason: why they are dead-lettered; a partition knows 64 different ones, further ones become "other".
        Raises AlreadySettled for the first offset that is settled or stands twice in `offsets`, and LedgerError
        for an unknown partition, an offset below the origin or a reason of another kind.
        """
        book = self._of(partition)
        if reason and kind is not Kind.DEAD_LETTERED:
            raise LedgerError(f"{self._name(partition)}: {kind} offsets have no reason, so not {reason!r}")
        new = self._checked(partition, kind, offsets)
        clash = book.clash(new)
        if clash is not None:
            raise AlreadySettled(
                f"{self._name(partition)}: offset {clash} is {book.kind_at(clash)} already and can't become {kind}"
            )
        book.add(kind, new, reason)

    def record_range(self, partition: int, kind: Kind, start: int, stop: int) -> int:
        """Settle as one kind what is owed and unsettled inside `[start, stop)`; returns how many offsets that was."""
        new = self.unsettled(partition, start, stop)
        self._of(partition).add(kind, new)
        return len(new)

    def unsettle(self, partition: int, offsets: BitMap64) -> int:
        """Owe again those of the offsets that are settled, which may lower the position; returns how many."""
        return self._of(partition).remove(offsets)

    def truncate(self, partition: int, end: int) -> int:
        """Owe again every settled offset at or above `end`; returns how many."""
        book = self._of(partition)
        return book.remove(span(max(end, book.origin), book.highest))

    def counts(self) -> dict[Kind, int]:
        """Settled offsets of all partitions by kind; every kind has an entry."""
        return {kind: sum(self.count(partition, kind) for partition in self._partitions) for kind in Kind}

    def count(self, partition: int, kind: Kind) -> int:
        """Offsets of a partition settled as one kind."""
        return self._of(partition).count(kind)

    def of_kind(self, partition: int, kind: Kind, start: int, stop: int) -> BitMap64:
        """The offsets inside `[start, stop)` settled as one kind."""
        return self._of(partition).of_kind(kind, start, stop)

    def kind_intervals(self, partition: int, kind: Kind) -> Iterator[tuple[int, int]]:
        """Offsets of a partition settled as one kind, as ascending half-open intervals."""
        book = self._of(partition)
        return intervals(book.of_kind(kind, book.origin, book.highest))

    def reasons(self, partition: int) -> list[str]:
        """Why offsets of a partition were dead-lettered, ascending."""
        return sorted(self._of(partition).reasons())

    def of_reason(self, partition: int, reason: str) -> BitMap64:
        """The offsets of a partition dead-lettered for a reason; none for one that nobody gave."""
        return self._of(partition).of_reason(reason)

    def copy(self) -> "Ledger":
        """An independent ledger with the same content, for another thread; milliseconds for ten million offsets."""
        twin = Ledger(self.generation, self._segment_offsets)
        twin._partitions = {partition: book.copy() for partition, book in self._partitions.items()}
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ledger):
            return NotImplemented
        return self.generation == other.generation and self._partitions == other._partitions

    @classmethod
    def merged(cls, ledgers: Iterable["Ledger"]) -> "Ledger":
        """One ledger of all that several of the same generation have settled; they stay as they are.

        An offset may be settled in several of them, as it is where workers went on from the same checkpoint. Raises
        LedgerError if there are none, or if generations, origins, or kinds and reasons of an offset differ.
        """
        several = list(ledgers)
        if len({ledger.generation for ledger in several}) != 1:
            raise LedgerError("only ledgers of one topic generation can be merged, and at least one")
        merged = several[0].copy()
        for ledger in several[1:]:
            for partition, book in ledger._partitions.items():
                if partition not in merged._partitions:
                    merged.open_partition(partition, book.origin)
                try:
                    merged._partitions[partition].absorb(book)
                except LedgerError as error:
                    raise type(error)(f"{merged._name(partition)}: {error}") from error
        return merged

    def segments(self) -> Iterator[tuple[int, Segment]]:
        """The sealed stretches with their partitions; `dump` leaves them out."""
        for partition in self.partitions():
            for segment in self._of(partition).sealed.ordered():
                yield partition, segment

    def dump(self) -> bytes:
        """One safetensors blob; equal ledgers give equal bytes. What is sealed stands there by its sha256.

        Metadata `ledger`: JSON of format_version, generation, segment_offsets and, by partition, origins, reasons and
        sealed segments. Tensors: bitmaps `<partition>/<kind>` and `<partition>/reason/<number>`.
        """
        books = {str(partition): self._of(partition) for partition in self.partitions()}
        bitmaps: dict[str, BitMap64] = {}
        for partition, book in books.items():
            bitmaps |= book.entries.bitmaps(partition)
        about = {
            "format_version": FORMAT_VERSION,
            "generation": asdict(self.generation),
            "segment_offsets": self._segment_offsets,
            "origins": {partition: book.origin for partition, book in books.items()},
            "reasons": {partition: sorted(book.entries.reasons) for partition, book in books.items()},
            "sealed": {partition: [each.sha256 for each in book.sealed.ordered()] for partition, book in books.items()},
        }
        return blobs.encode(about, bitmaps)

    @classmethod
    def load(cls, blob: bytes, history: Mapping[str, Segment] = MappingProxyType({})) -> "Ledger":
        """Read what `dump` wrote, in this release or an earlier one. history: the sealed segments by sha256.

        Raises CheckpointDamaged for bytes that can't be a ledger (two kinds of one offset among them) or a segment
        that isn't there, and LedgerError for a format of a later release.
        """
        about, bitmaps = blobs.decode(blob)
        try:
            version = about["format_version"]
            if version not in range(1, FORMAT_VERSION + 1):
                raise LedgerError(
                    f"the ledger has format version {version}, this release reads up to {FORMAT_VERSION}: "
                    "upgrade penstock"
                )
            ledger = cls(Generation(**about["generation"]), about.get("segment_offsets", SEGMENT_OFFSETS))
            for partition, origin in about["origins"].items():
                ledger.open_partition(int(partition), origin)
            for partition, digests in about.get("sealed", {}).items():
                ledger._take_in(int(partition), digests, history)
            ledger._fill(bitmaps, about.get("reasons", {}))
        except blobs.MALFORMED as error:
            raise CheckpointDamaged(f"the ledger can't be read: {error}") from error
        return ledger

    def _take_in(self, partition: int, digests: Iterable[str], history: Mapping[str, Segment]) -> None:
        for sha256 in digests:
            if sha256 not in history:
                raise CheckpointDamaged(f"{self._name(partition)}: the sealed history {sha256} is missing")
            self._of(partition).sealed.put(history[sha256])

    def _fill(self, bitmaps: dict[str, BitMap64], reasons: dict[str, Any]) -> None:
        unknown = {name.partition("/")[0] for name in bitmaps} - {str(partition) for partition in self._partitions}
        if unknown:
            raise ValueError(f"partitions {sorted(unknown)} have offsets and no origin")
        for partition, book in self._partitions.items():
            book.entries = Entries.of_bitmaps(str(partition), bitmaps, reasons.get(str(partition), []))
            try:
                book.rebuild()
            except CheckpointDamaged as error:
                raise CheckpointDamaged(f"{self._name(partition)}: {error}") from error

    def _checked(self, partition: int, kind: Kind, offsets: Offsets) -> BitMap64:
        origin = self.origin(partition)
        if isinstance(offsets, BitMap64):
            self._refuse_below(origin, partition, kind, offsets.min() if offsets else origin)
            return offsets
        if isinstance(offsets, np.ndarray):
            values = offsets.astype(np.int64, casting="same_kind", copy=False)
        else:
            values = np.fromiter(offsets, np.int64)
        self._refuse_below(origin, partition, kind, int(values.min(initial=origin)))
        new = BitMap64(values)
        if len(new) != values.size:
            ordered = np.sort(values)
            twice = ordered[1:][ordered[1:] == ordered[:-1]][0]
            raise AlreadySettled(f"{self._name(partition)}: offset {twice} was to become {kind} twice in one entry")
        return new

    def _refuse_below(self, origin: int, partition: int, kind: Kind, lowest: int) -> None:
        if lowest < origin:
            raise LedgerError(f"{self._name(partition)}: offset {lowest} ({kind}) lies below the origin {origin}")

    def _of(self, partition: int) -> Partition:
        try:
            return self._partitions[partition]
        except KeyError:
            raise LedgerError(f"{self._name(partition)} isn't open in the ledger") from None

    def _name(self, partition: int) -> str:
        return f"{self.generation.topic}[{partition}]"
