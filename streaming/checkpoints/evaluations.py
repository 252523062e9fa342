"""Evaluation sets on disk: files beside the checkpoints, which name them."""

import hashlib
from collections.abc import Set
from pathlib import Path

from streaming.checkpoints.durable import Files
from streaming.checkpoints.shared import SharedFiles

FOLDER = "evaluation"


class EvaluationSets:
    """Files `evaluation/<set>-<count>-<hash>.safetensors`."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._shared = SharedFiles(directory, FOLDER, "[0-9]{4}-[0-9]{6}", 8, files)

    def write(self, set: int, count: int, content: bytes) -> tuple[str, str]:
        """Store a set of `count` records; returns (name relative to the checkpoints' folder, sha256)."""
        sha256 = hashlib.sha256(content).hexdigest()
        name = self._shared.name(f"{set:04d}-{count:06d}", sha256)
        self._shared.write(name, content)
        return name, sha256

    def read(self, name: str, sha256: str) -> bytes:
        """A set as a manifest names it. Raises CheckpointDamaged if it is missing or altered."""
        return self._shared.read(name, sha256)

    def remove(self, named: Set[str], newest: str) -> None:
        """Remove the sets that aren't `named`, up to `newest`: greater ones may be on their way into a checkpoint.

        Raises OSError.
        """
        for name in self._shared.names():
            if name not in named and _order(name) <= _order(newest):
                self._shared.remove(name)


def _order(name: str) -> str:
    return name.rpartition("-")[0]
