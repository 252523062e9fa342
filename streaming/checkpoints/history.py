"""The ledgers' sealed history on disk: segments beside the checkpoints, each written once for all that name it."""

from collections.abc import Iterable, Set
from pathlib import Path

from streaming.checkpoints.durable import Files
from streaming.checkpoints.manifest import HistoryFile
from streaming.checkpoints.shared import SharedFiles
from streaming.ledger.ledger import Ledger
from streaming.ledger.segment import Segment

FOLDER = "history"


class History:
    """Files `history/<partition>-<first offset>-<hash>.safetensors`, each twice: every later checkpoint needs them."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._shared = SharedFiles(directory, FOLDER, "[0-9]{5,10}-[0-9]{19}", 16, files, spares=True)
        self._upcoming: set[str] = set()

    def write(self, ledger: Ledger) -> list[HistoryFile]:
        """Make every sealed segment of a ledger durable, for a checkpoint to name. Raises CheckpointError."""
        return [self._write(partition, segment) for partition, segment in ledger.segments()]

    def read(self, named: Iterable[HistoryFile]) -> dict[str, Segment]:
        """Segments by sha256. Raises CheckpointDamaged if one is missing or altered."""
        return {one.sha256: Segment.load(self._shared.read(one.file, one.sha256)) for one in named}

    def check(self, named: Iterable[HistoryFile]) -> None:
        """Hash segments. Raises CheckpointDamaged naming one that is missing or altered."""
        for one in named:
            self._shared.read(one.file, one.sha256)

    def committed(self) -> None:
        """What was written so far is named by a checkpoint, or never will be."""
        self._upcoming.clear()

    def remove(self, named: Set[str]) -> None:
        """Remove the segments that aren't `named` nor on their way into a checkpoint. Raises OSError."""
        for name in self._shared.names():
            if name not in named and name not in self._upcoming:
                self._shared.remove(name)

    def _write(self, partition: int, segment: Segment) -> HistoryFile:
        name = self._shared.name(f"{partition:05d}-{segment.start:019d}", segment.sha256)
        size = self._shared.size(name)
        if size is None:
            content = segment.dump()
            self._shared.write(name, content)
            size = len(content)
        self._upcoming.add(name)
        return HistoryFile(file=name, size=size, sha256=segment.sha256)
