"""The operator's decisions, `.service/decisions.jsonl`: one JSON line each, appended, never changed."""

import asyncio
import errno
import os
from pathlib import Path

import structlog
from pydantic import ValidationError

from streaming.checkpoints.durable import LOCAL
from streaming.control.decisions import DECISION, Decision, Quarantine
from streaming.errors import CheckpointError

_log = structlog.get_logger()


class Decisions:
    """All of them in their order. Reading blocks and happens at start; adding leaves the event loop free."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._adding = asyncio.Lock()
        self._all: list[Decision] = []

    def all(self) -> list[Decision]:
        """The oldest first."""
        return list(self._all)

    def quarantined(self, topic_id: str) -> set[tuple[int, int]]:
        """(partition, offset) of every record of this topic that is never to be decoded again."""
        mine = (each for each in self._all if isinstance(each, Quarantine) and each.topic_id == topic_id)
        return {(each.partition, each.offset) for each in mine}

    def load(self) -> None:
        """Read what earlier services wrote.

        A last line without its end is a write that a crash cut short: nobody was told that it was made, so it is
        dropped, loudly. Raises CheckpointError, naming the line, for any other damage.
        """
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            whole, _, torn = content.rpartition(b"\n")
            if torn:
                _log.error("decision_torn", file=str(self._path), dropped=torn.decode(errors="replace"))
                _cut(self._path, len(content) - len(torn))
        except OSError as error:
            raise CheckpointError(f"{self._path}: {error.strerror}") from error
        self._all = [self._parsed(number, line) for number, line in enumerate(whole.split(b"\n"), 1)] if whole else []

    async def add(self, decision: Decision) -> None:
        """Durable when this returns. Raises CheckpointError; then it wasn't made."""
        async with self._adding:
            line = DECISION.dump_json(decision) + b"\n"
            try:
                await asyncio.to_thread(_append, self._path, line)
            except OSError as error:
                raise CheckpointError(f"{self._path}: {error.strerror}") from error
            self._all.append(decision)
        _log.info("decided", **decision.model_dump(mode="json", exclude={"offsets"}))

    async def flush(self) -> None:
        """Wait for the one that is being written."""
        async with self._adding:
            return

    def _parsed(self, number: int, line: bytes) -> Decision:
        try:
            return DECISION.validate_json(line)
        except ValidationError as error:
            text = f"{self._path}: line {number} is no decision: {line[:200]!r}; bring the file back from a copy"
            raise CheckpointError(text) from error


def _append(path: Path, line: bytes) -> None:
    """Put a line at the end, and on the disk. What a failed write left is taken away again. Raises OSError."""
    if not path.exists():
        path.touch()
        LOCAL.sync(path.parent)
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def _cut(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)
        os.fsync(file.fileno())
