"""A stretch of a partition that is wholly settled: frozen, shared by copies of the ledger, written once."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from streaming.errors import CheckpointDamaged, LedgerError
from streaming.ledger import blob as blobs
from streaming.ledger.entries import Entries
from streaming.ledger.intervals import intervals
from streaming.ledger.kinds import Kind

FORMAT_VERSION = 1
SEGMENT_OFFSETS = 2**22  # with a hole every ten: 1.0 MB a file, and at most 1.1 ms for a copy of what isn't sealed (m)


@dataclass(frozen=True)
class Segment:
    """Every offset of `[start, stop)` has its entry; nobody changes them."""

    start: int
    stop: int
    entries: Entries

    @cached_property
    def counts(self) -> dict[Kind, int]:
        """Offsets by kind."""
        return {kind: len(bitmap) for kind, bitmap in self.entries.kinds.items()}

    @cached_property
    def sha256(self) -> str:
        """Of what `dump` gives: the same for the same content."""
        return hashlib.sha256(self.dump()).hexdigest()

    def dump(self) -> bytes:
        """One safetensors blob; equal segments give equal bytes.

        Metadata `ledger`: JSON of format_version, start, stop and the reasons. Tensors: bitmaps `settled/<kind>` and
        `settled/reason/<number>`.
        """
        about = {
            "format_version": FORMAT_VERSION,
            "start": self.start,
            "stop": self.stop,
            "reasons": sorted(self.entries.reasons),
        }
        return blobs.encode(about, self.entries.bitmaps("settled"))

    @classmethod
    def load(cls, blob: bytes) -> "Segment":
        """Read what `dump` wrote.

        Raises CheckpointDamaged for bytes that can't be a segment, and LedgerError for a format of a later release.
        """
        about, bitmaps = blobs.decode(blob)
        try:
            if about["format_version"] != FORMAT_VERSION:
                raise LedgerError(
                    f"sealed history has format version {about['format_version']}, this release reads "
                    f"{FORMAT_VERSION}: upgrade penstock"
                )
            entries = Entries.of_bitmaps("settled", bitmaps, about["reasons"])
            segment = cls(about["start"], about["stop"], entries)
            offsets = entries.check()
            if (len(offsets), *intervals(offsets)) != (segment.stop - segment.start, (segment.start, segment.stop)):
                raise CheckpointDamaged(f"sealed history does not hold all of [{segment.start}, {segment.stop})")
        except blobs.MALFORMED as error:
            raise CheckpointDamaged(f"sealed history can't be read: {error}") from error
        return segment
