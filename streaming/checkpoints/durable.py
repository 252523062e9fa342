"""The one road of a durable write: a temporary, fsync, rename, fsync of the parent."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

TEMPORARY = ".tmp-"
TRASH = ".trash-"  # half-removed
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV}


class Files(Protocol):
    """What a durable write asks of a file system; each call raises OSError."""

    def write(self, path: Path, content: bytes) -> None:
        """Create or replace a file; its content is on the disk afterwards, its name maybe not."""

    def sync(self, path: Path) -> None:
        """Put a file's content, or a directory's names, on the disk."""

    def link(self, source: Path, target: Path) -> None:
        """Give a file that never changes a second name, or a copy where the file system knows no links."""

    def move(self, source: Path, target: Path) -> None:
        """Rename within one file system, at once or not at all; a file at `target` is replaced."""


class LocalFiles:
    """A POSIX file system."""

    def write(self, path: Path, content: bytes) -> None:
        with _naming(path), path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with _naming(path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        try:
            target.hardlink_to(source)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            shutil.copyfile(source, target)

    def move(self, source: Path, target: Path) -> None:
        source.replace(target)


LOCAL = LocalFiles()


def write_durably(path: Path, content: bytes, files: Files = LOCAL) -> None:
    """Create or replace a file so that after any crash it holds the old content or the new, never a part.

    The parent must exist. Raises OSError; then the old content stands, unless only the last fsync failed.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    try:
        files.write(temporary, content)
        files.move(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    files.sync(path.parent)


def make_directory(path: Path, files: Files = LOCAL) -> None:
    """Create a directory and what is missing above it; all their names are on the disk afterwards. Raises OSError."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        files.sync(each.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """write(2) and fsync(2) fail on a descriptor, so Python's OSError doesn't know the path."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
