"""Evaluation sets on disk: files beside the checkpoints, which name them."""

import hashlib
import re
from collections.abc import Set
from pathlib import Path

from streaming.checkpoints.disk import entries, os_errors, read
from streaming.checkpoints.durable import Files, write_durably
from streaming.errors import CheckpointDamaged, CheckpointError

FOLDER = "evaluation"
_NAME = re.compile(FOLDER + r"/[0-9]{4}-[0-9]{6}-[0-9a-f]{8}\.safetensors")


class EvaluationSets:
    """Files `evaluation/<set>-<count>-<hash>.safetensors`, never changed.

    The hash is in the name because after a rollback the same set can grow differently, while the checkpoints of the
    abandoned line still name theirs.
    """

    def __init__(self, directory: Path, files: Files) -> None:
        self._directory = directory
        self._files = files

    def write(self, set: int, count: int, content: bytes) -> tuple[str, str]:
        """Store a set of `count` records; returns (name relative to the checkpoints' folder, sha256)."""
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"{FOLDER}/{set:04d}-{count:06d}-{sha256[:8]}.safetensors"
        if not _NAME.fullmatch(name):
            raise CheckpointError(f"evaluation set {set} of {count} records doesn't fit into a file's name")
        with os_errors(f"evaluation set {set} can't be written"):
            folder = self._directory / FOLDER
            if not folder.is_dir():
                folder.mkdir(parents=True)
                self._files.sync(self._directory)
            write_durably(self._directory / name, content, self._files)
        return name, sha256

    def read(self, name: str, sha256: str) -> bytes:
        """A set as a manifest names it. Raises CheckpointDamaged if it is missing or altered."""
        if not _NAME.fullmatch(name):
            raise CheckpointError(f"{name!r} is no evaluation set's name")
        content = read(self._directory / name)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CheckpointDamaged(f"{name} does not match its sha256")
        return content

    def remove(self, named: Set[str], newest: str) -> None:
        """Remove the sets that aren't `named`, up to `newest`: greater ones may be on their way into a checkpoint.

        Raises OSError.
        """
        for path in entries(self._directory / FOLDER):
            name = f"{FOLDER}/{path.name}"
            if _NAME.fullmatch(name) and name not in named and _order(name) <= _order(newest):
                path.unlink(missing_ok=True)


def _order(name: str) -> str:
    return name.rpartition("-")[0]
