"""The ledger: what became of every offset of a topic generation, and nothing else decides what is read again."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from pyroaring import BitMap64
from safetensors import SafetensorError

from streaming.errors import AlreadySettled, CheckpointDamaged, LedgerError
from streaming.ledger.intervals import complement, first_missing, intervals, span, within

FORMAT_VERSION = 1
Offsets = npt.NDArray[np.int64] | Iterable[int]


class Kind(StrEnum):
    """How an offset was settled; every settled offset has exactly one kind."""

    TRAINED = "trained"
    HELD_OUT = "held_out"
    DEAD_LETTERED = "dead_lettered"
    SKIPPED = "skipped"
    ABSENT = "absent"
    LOST = "lost"
    EXCLUDED = "excluded"


@dataclass(frozen=True)
class Generation:
    """One life of a topic: recreated under the same name it has another id, and its offsets mean other records."""

    cluster_id: str
    topic: str
    topic_id: str


@dataclass
class _Partition:
    """One partition's book. Settled are `[origin, position)` and the offsets in `ahead`, all above position."""

    origin: int
    position: int
    ahead: BitMap64 = field(default_factory=BitMap64)
    kinds: dict[Kind, BitMap64] = field(default_factory=dict)

    def add(self, kind: Kind, offsets: BitMap64) -> None:
        if kind in self.kinds:
            self.kinds[kind] |= offsets
        else:
            self.kinds[kind] = offsets.copy()
        self.ahead |= offsets
        self.advance()

    def advance(self) -> None:
        if self.position in self.ahead:
            self.position = first_missing(self.ahead, self.position)
            self.ahead.remove_range(0, self.position)

    def copy(self) -> "_Partition":
        for bitmap in self.kinds.values():
            bitmap.run_optimize()  # history becomes runs, so that copies and saves stay small
        kinds = {kind: bitmap.copy() for kind, bitmap in self.kinds.items()}
        return _Partition(self.origin, self.position, self.ahead.copy(), kinds)


class Ledger:
    """Per partition an origin (the first offset ever owed) and one set of offsets a kind, disjoint.

    Offsets are int64, 0..2**63 - 1. Not thread-safe: one thread owns it and hands copies to others.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._partitions: dict[int, _Partition] = {}

    def open_partition(self, partition: int, origin: int) -> None:
        """Owe every offset of a partition from `origin` on. Raises LedgerError if it is open already."""
        if partition in self._partitions:
            raise LedgerError(f"{self._name(partition)} is open already, with origin {self.origin(partition)}")
        if partition < 0 or origin < 0:
            raise LedgerError(f"{self._name(partition)} can't begin at offset {origin}")
        self._partitions[partition] = _Partition(origin, origin)

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
        book = self._of(partition)
        return span(book.origin, book.position) | book.ahead

    def unsettled(self, partition: int, start: int, stop: int) -> BitMap64:
        """The offsets inside `[start, stop)` that are owed (at or above the origin) and not settled."""
        book = self._of(partition)
        return complement(book.ahead, max(start, book.position), stop)

    def record(self, partition: int, kind: Kind, offsets: Offsets) -> None:
        """Settle offsets (int64[N], any order) as one kind; all of them or, if it raises, none.

        Raises AlreadySettled for the first offset that is settled or stands twice in `offsets`, and LedgerError
        for an unknown partition or an offset below the origin.
        """
        book = self._of(partition)
        new = self._checked(partition, kind, offsets)
        clash = self._clash(book, new)
        if clash is not None:
            raise AlreadySettled(
                f"{self._name(partition)}: offset {clash} is {self._kind_of(book, clash)} already "
                f"and can't become {kind}"
            )
        if new:
            book.add(kind, new)

    def record_range(self, partition: int, kind: Kind, start: int, stop: int) -> int:
        """Settle as one kind what is owed and unsettled inside `[start, stop)`; returns how many offsets that was."""
        new = self.unsettled(partition, start, stop)
        if new:
            self._of(partition).add(kind, new)
        return len(new)

    def counts(self) -> dict[Kind, int]:
        """Settled offsets of all partitions by kind; every kind has an entry."""
        return {kind: sum(self.count(partition, kind) for partition in self._partitions) for kind in Kind}

    def count(self, partition: int, kind: Kind) -> int:
        """Offsets of a partition settled as one kind."""
        return len(self._of(partition).kinds.get(kind, ()))

    def of_kind(self, partition: int, kind: Kind, start: int, stop: int) -> BitMap64:
        """The offsets inside `[start, stop)` settled as one kind."""
        return within(self._of(partition).kinds.get(kind, BitMap64()), start, stop)

    def kind_intervals(self, partition: int, kind: Kind) -> Iterator[tuple[int, int]]:
        """Offsets of a partition settled as one kind, as ascending half-open intervals."""
        return intervals(self._of(partition).kinds.get(kind, BitMap64()))

    def copy(self) -> "Ledger":
        """An independent ledger with the same content, for another thread; milliseconds for ten million offsets."""
        twin = Ledger(self.generation)
        twin._partitions = {partition: book.copy() for partition, book in self._partitions.items()}
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ledger):
            return NotImplemented
        return self.generation == other.generation and self._partitions == other._partitions

    def dump(self) -> bytes:
        """One safetensors blob; equal ledgers give equal bytes.

        Metadata `ledger`: JSON of format_version, generation and origins. Tensor `<partition>/<kind>`: uint8[N],
        a run-optimised bitmap in CRoaring's portable 64-bit serialisation; kinds without offsets are left out.
        """
        tensors = {
            f"{partition}/{kind}": np.frombuffer(bitmap.serialize(), np.uint8)
            for partition, book in self.copy()._partitions.items()
            for kind, bitmap in book.kinds.items()
        }
        about = {
            "format_version": FORMAT_VERSION,
            "generation": asdict(self.generation),
            "origins": {str(partition): self.origin(partition) for partition in self.partitions()},
        }
        blob: bytes = safetensors.numpy.save(tensors, {"ledger": json.dumps(about, sort_keys=True)})
        return blob

    @classmethod
    def load(cls, blob: bytes) -> "Ledger":
        """Read what `dump` wrote.

        Raises CheckpointDamaged for bytes that can't be a ledger (two kinds of one offset among them), and
        LedgerError for a format of a later release.
        """
        try:
            about = _metadata(blob)
            version = about["format_version"]
            if version != FORMAT_VERSION:
                raise LedgerError(
                    f"the ledger has format version {version}, this release reads {FORMAT_VERSION}: upgrade penstock"
                )
            ledger = cls(Generation(**about["generation"]))
            for partition, origin in about["origins"].items():
                ledger.open_partition(int(partition), origin)
            for name, tensor in safetensors.numpy.load(blob).items():
                partition, _, kind = name.partition("/")
                bitmap = BitMap64.deserialize(tensor.tobytes())
                ledger._partitions[int(partition)].kinds[Kind(kind)] = bitmap
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, SafetensorError) as error:
            raise CheckpointDamaged(f"the ledger can't be read: {error}") from error
        for partition in ledger.partitions():
            ledger._rebuild(partition)
        return ledger

    def _rebuild(self, partition: int) -> None:
        """Derive position and `ahead` from the kinds, which must be disjoint and not below the origin."""
        book = self._of(partition)
        book.ahead = BitMap64().union(*book.kinds.values())
        if len(book.ahead) != sum(len(bitmap) for bitmap in book.kinds.values()):
            raise CheckpointDamaged(f"{self._name(partition)}: the ledger holds offsets of two kinds")
        if book.ahead and book.ahead.min() < book.origin:
            raise CheckpointDamaged(f"{self._name(partition)}: the ledger holds offsets below origin {book.origin}")
        book.advance()

    def _checked(self, partition: int, kind: Kind, offsets: Offsets) -> BitMap64:
        if isinstance(offsets, np.ndarray):
            values = offsets.astype(np.int64, casting="same_kind", copy=False)
        else:
            values = np.fromiter(offsets, np.int64)
        origin = self.origin(partition)
        if values.size and values.min() < origin:
            raise LedgerError(f"{self._name(partition)}: offset {values.min()} ({kind}) lies below the origin {origin}")
        new = BitMap64(values)
        if len(new) != values.size:
            ordered = np.sort(values)
            twice = ordered[1:][ordered[1:] == ordered[:-1]][0]
            raise AlreadySettled(f"{self._name(partition)}: offset {twice} was to become {kind} twice in one entry")
        return new

    @staticmethod
    def _clash(book: _Partition, new: BitMap64) -> int | None:
        if not new:
            return None
        if new.min() < book.position:
            return int(new.min())
        return None if new.isdisjoint(book.ahead) else int((new & book.ahead).min())

    @staticmethod
    def _kind_of(book: _Partition, offset: int) -> str:
        return next(kind for kind, bitmap in book.kinds.items() if offset in bitmap)

    def _of(self, partition: int) -> _Partition:
        try:
            return self._partitions[partition]
        except KeyError:
            raise LedgerError(f"{self._name(partition)} isn't open in the ledger") from None

    def _name(self, partition: int) -> str:
        return f"{self.generation.topic}[{partition}]"


def _metadata(blob: bytes) -> Any:
    """The JSON under the metadata key `ledger`; safetensors' own loader for bytes leaves metadata out."""
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 + length:
        raise ValueError("it is cut short")
    return json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["ledger"])
