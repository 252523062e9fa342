"""Files beside the checkpoints that several of them name: the content's hash is in the name, and they never change."""

import hashlib
import re
from pathlib import Path

from streaming.checkpoints.disk import entries, os_errors, read
from streaming.checkpoints.durable import Files, make_directory, write_durably
from streaming.errors import CheckpointDamaged, CheckpointError


class SharedFiles:
    """Files `<folder>/<stem>-<hash>.safetensors` of the checkpoints' directory, by that name.

    The hash is there because after a rollback the same stem can get other content, while the checkpoints of the
    abandoned line still name theirs.
    """

    def __init__(
        self, directory: Path, folder: str, stem: str, digits: int, files: Files, *, spares: bool = False
    ) -> None:
        """stem: a regular expression of the stems there may be. digits: how much of the hash is in the name.

        spares: each file is written twice, `<name>.spare` being what is read where the first one is damaged.
        """
        self._directory = directory
        self._folder = folder
        self._digits = digits
        self._names = re.compile(rf"{folder}/{stem}-[0-9a-f]{{{digits}}}\.safetensors")
        self._files = files
        self._endings = ("", ".spare") if spares else ("",)
        self._whole: dict[str, int] = {}

    def name(self, stem: str, sha256: str) -> str:
        """What a file is called. Raises CheckpointError for a stem that doesn't fit."""
        name = f"{self._folder}/{stem}-{sha256[: self._digits]}.safetensors"
        return self._checked(name)

    def size(self, name: str) -> int | None:
        """The size in bytes of a file that this process has written or found whole, if it still has it."""
        size = self._whole.get(name)
        try:
            return (
                size if size is not None and all(path.stat().st_size == size for path in self._places(name)) else None
            )
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Store a file durably, unless it is known to be there. Raises CheckpointError."""
        if self.size(name) is not None:
            return
        with os_errors(f"{name} can't be written"):
            make_directory(self._directory / self._folder, self._files)
            for path in self._places(name):
                write_durably(path, content, self._files)
        self._whole[name] = len(content)

    def read(self, name: str, sha256: str) -> bytes:
        """A file's content. Raises CheckpointDamaged if it is missing or altered, and its spare is, too."""
        damage = []
        for path in self._places(name):
            try:
                content = read(path)
            except CheckpointDamaged as error:
                damage.append(error)
                continue
            if hashlib.sha256(content).hexdigest() == sha256:
                if not damage:  # otherwise `write` is to mend it
                    self._whole[name] = len(content)
                return content
            damage.append(CheckpointDamaged(f"{name} does not match its sha256"))
        raise damage[0]

    def names(self) -> list[str]:
        """The files there are, sorted. Raises OSError."""
        names = (f"{self._folder}/{path.name}" for path in entries(self._directory / self._folder))
        return [name for name in names if self._names.fullmatch(name)]

    def remove(self, name: str) -> None:
        """Raises OSError."""
        for path in self._places(name):
            path.unlink(missing_ok=True)

    def _places(self, name: str) -> list[Path]:
        return [self._directory / f"{self._checked(name)}{ending}" for ending in self._endings]

    def _checked(self, name: str) -> str:
        if not self._names.fullmatch(name):
            raise CheckpointError(f"{name!r} is no name of a file in {self._folder}/")
        return name
