"""Files beside the checkpoints that several of them name: the content's hash is in the name, and they never change."""

import hashlib
import re
from pathlib import Path

from streaming.checkpoints.disk import entries, measure, os_errors, read
from streaming.checkpoints.durable import Files, write_durably
from streaming.errors import CheckpointDamaged, CheckpointError


class SharedFiles:
    """Files `<folder>/<stem>-<hash>.safetensors` of the checkpoints' directory, by that name.

    The hash is there because after a rollback the same stem can get other content, while the checkpoints of the
    abandoned line still name theirs.
    """

    def __init__(self, directory: Path, folder: str, stem: str, digits: int, files: Files) -> None:
        """stem: a regular expression of the stems there may be. digits: how much of the hash is in the name."""
        self._directory = directory
        self._folder = folder
        self._digits = digits
        self._names = re.compile(rf"{folder}/{stem}-[0-9a-f]{{{digits}}}\.safetensors")
        self._files = files
        self._whole: dict[str, int] = {}

    def name(self, stem: str, sha256: str) -> str:
        """What a file is called. Raises CheckpointError for a stem that doesn't fit."""
        name = f"{self._folder}/{stem}-{sha256[: self._digits]}.safetensors"
        return self._checked(name)

    def size(self, name: str) -> int | None:
        """The size in bytes of a file that this process has written or read whole, if it still has it."""
        path, size = self._directory / name, self._whole.get(name)
        try:
            return size if size is not None and path.stat().st_size == size else None
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Store a file durably, unless it is known to be there. Raises CheckpointError."""
        if self.size(name) is not None:
            return
        with os_errors(f"{name} can't be written"):
            folder = self._directory / self._folder
            if not folder.is_dir():
                folder.mkdir(parents=True)
                self._files.sync(self._directory)
            write_durably(self._directory / self._checked(name), content, self._files)
        self._whole[name] = len(content)

    def read(self, name: str, sha256: str) -> bytes:
        """A file's content. Raises CheckpointDamaged if it is missing or altered."""
        content = read(self._directory / self._checked(name))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CheckpointDamaged(f"{name} does not match its sha256")
        self._whole[name] = len(content)
        return content

    def check(self, name: str, size: int, sha256: str) -> None:
        """Raises CheckpointDamaged if a file is missing or altered."""
        if measure(self._directory / self._checked(name)) != (size, sha256):
            raise CheckpointDamaged(f"{name} does not match its size and sha256")
        self._whole[name] = size

    def names(self) -> list[str]:
        """The files there are, sorted. Raises OSError."""
        names = (f"{self._folder}/{path.name}" for path in entries(self._directory / self._folder))
        return [name for name in names if self._names.fullmatch(name)]

    def remove(self, name: str) -> None:
        """Raises OSError."""
        (self._directory / self._checked(name)).unlink(missing_ok=True)

    def _checked(self, name: str) -> str:
        if not self._names.fullmatch(name):
            raise CheckpointError(f"{name!r} is no name of a file in {self._folder}/")
        return name
