"""Disks that fail where a test says so, and harm to files."""

import os
from collections.abc import Callable
from pathlib import Path

from streaming.checkpoints.durable import LocalFiles


class Killed(BaseException):
    """The process ends here; no handler of the program runs."""


class FailingDisk(LocalFiles):
    """A disk whose n-th operation fails with `error`: before it happens, halfway if it is a write, or just after."""

    def __init__(self, failing: int, error: BaseException, after: bool = False) -> None:
        self.failing = failing
        self.error = error
        self.after = after
        self.operations = 0
        self.path: Path | None = None

    def write(self, path: Path, content: bytes) -> None:
        def half() -> None:
            path.write_bytes(content[: len(content) // 2])

        self._do(path, lambda: LocalFiles.write(self, path, content), half)

    def link(self, source: Path, target: Path) -> None:
        self._do(target, lambda: LocalFiles.link(self, source, target))

    def sync(self, path: Path) -> None:
        self._do(path, lambda: LocalFiles.sync(self, path))

    def move(self, source: Path, target: Path) -> None:
        self._do(source, lambda: LocalFiles.move(self, source, target))

    def _do(self, path: Path, operation: Callable[[], None], half: Callable[[], None] = lambda: None) -> None:
        self.operations += 1
        if self.operations != self.failing:
            operation()
            return
        self.path = path
        operation() if self.after else half()
        if isinstance(self.error, OSError):
            self.error.filename = str(path)
        raise self.error


def flip(path: Path) -> None:
    """One bit in the middle of a file is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    """The last byte of a file is lost."""
    os.truncate(path, path.stat().st_size - 1)
