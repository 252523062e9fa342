"""The edge to the disk: reads and hashes, and OSError turned into the package's own errors."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streaming.errors import CheckpointDamaged, CheckpointError

_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO}


def read(path: Path) -> bytes:
    """A file's content. Raises CheckpointDamaged if it is gone, CheckpointError if we may not read it."""
    with _reading(path):
        return path.read_bytes()


def measure(path: Path) -> tuple[int, str]:
    """(size in bytes, sha256) of a file, without holding it in memory. Raises as `read` does."""
    with _reading(path), path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def entries(directory: Path) -> list[Path]:
    """What lies in a directory, sorted; nothing if there is no such directory. Raises OSError."""
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []


@contextmanager
def os_errors(what: str) -> Iterator[None]:
    """Turn OSError into a CheckpointError that says what couldn't be done, where and why."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        raise CheckpointError(f"{what}:{where} {error.strerror or error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A file that is gone or unreadable on its disk is damage; one that we may not read is a mistake to mend."""
    try:
        yield
    except OSError as error:
        kind = CheckpointDamaged if error.errno in _DAMAGE else CheckpointError
        raise kind(f"{path} can't be read: {error.strerror}") from error
