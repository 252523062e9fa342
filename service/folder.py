"""What the sidecar remembers over its own restarts: small files in `.service/` of the checkpoint directory."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from service.decisions import Decisions
from streaming.checkpoints.archive import Archive
from streaming.checkpoints.durable import make_directory, write_durably
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointError, DirectoryUnavailable

RETRY_S = 1.0

_log = structlog.get_logger()


class StateFile:
    """One JSON value, replaced durably. Reading blocks and happens at start; writing leaves the event loop free."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retrying = False
        self._closing = asyncio.Event()

    def read(self) -> Any:
        """The value; None when there is none yet. Raises CheckpointError when it can't be read."""
        try:
            return json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.path}: {error}; move it away to begin without it") from error

    async def write(self, value: Callable[[], Any]) -> None:
        """Write what `value` returns once earlier writes are through. Raises CheckpointError."""
        async with self._writing:
            content = json.dumps(value(), indent=1).encode()
            try:
                await asyncio.to_thread(write_durably, self.path, content)
            except OSError as error:
                raise CheckpointError(f"{self.path}: {error.strerror}") from error

    def write_soon(self, value: Callable[[], Any]) -> None:
        """The same without waiting; one that fails is logged and tried again until it, or a later one, succeeds."""
        task = asyncio.create_task(self._write_or_log(value))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_or_log(self, value: Callable[[], Any]) -> None:
        while not await self._written(value) and not self._retrying and not self._closing.is_set():
            self._retrying = True  # one is enough: it writes the newest value
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._closing.wait()
            self._retrying = False

    async def _written(self, value: Callable[[], Any]) -> bool:
        try:
            await self.write(value)
        except CheckpointError as error:
            _log.error("state_not_written", detail=str(error))
            return False
        return True

    async def flush(self) -> None:
        """Wait for every write that has begun; a `write_soon` that failed is tried once more."""
        self._closing.set()
        await asyncio.gather(*self._tasks)
        async with self._writing:
            return


class ServiceFolder:
    """`.service/` of the store's directory. Nothing is touched before `create()`."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self.path = store.directory / ".service"
        self.desired = StateFile(self.path / "desired.json")
        self.operations = StateFile(self.path / "operations.json")
        self.restarts = StateFile(self.path / "restarts.json")
        self.settings = StateFile(self.path / "settings.json")
        self.decisions = Decisions(self.path / "decisions.jsonl")
        self.archive = Archive(store.directory, self.path / "archiving.json")
        self._settled = asyncio.Event()
        self._refusal: CheckpointError | None = None

    async def ours(self) -> None:
        """Wait until this service holds the lock and has read its memory: only then may it write here.

        Raises the CheckpointError for which it never will.
        """
        await self._settled.wait()
        if self._refusal is not None:
            raise self._refusal

    def settle(self, refusal: CheckpointError | None = None) -> None:
        self._refusal = refusal
        self._settled.set()

    async def flush(self) -> None:
        """Wait for every write that has begun or was promised for soon."""
        for file in (self.desired, self.operations, self.restarts, self.settings):
            await file.flush()
        await self.decisions.flush()

    def create(self) -> None:
        try:
            make_directory(self.path)
        except OSError as error:
            raise CheckpointError(f"checkpoint.directory: {self.path}: {error.strerror}") from error

    def next_epoch(self) -> int:
        """A writer epoch greater than any before, durable when this returns. Blocks.

        Raises DirectoryUnavailable when the disk refuses, CheckpointError when the file holds something else.
        """
        file = self.path / "epoch"
        written, _ = self._store.highest()
        try:
            epoch = 1 + max(written, int(file.read_text()) if file.exists() else 0)
            write_durably(file, f"{epoch}\n".encode())
        except OSError as error:
            raise DirectoryUnavailable(f"{file}: {error.strerror}") from error
        except ValueError as error:
            raise CheckpointError(f"{file}: {error}; move it away, a new one follows from the checkpoints") from error
        return epoch
