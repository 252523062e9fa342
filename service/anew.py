"""The work of a new-run operation: the checkpoints are put aside, and the worker begins from scratch."""

import asyncio
import time
from typing import NamedTuple

import structlog

from service.attempts import count_attempt
from service.folder import RETRY_S, ServiceFolder
from service.operation import NewRunResult, Operation
from service.operations import Operations
from service.supervisor import Supervisor
from streaming.checkpoints.archive import Archive
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointError

KIND = "new-run"
_log = structlog.get_logger()


class Belongings(NamedTuple):
    """What would be put aside, below which folder; and where the new run would begin to read, by the settings."""

    checkpoints: int
    size_bytes: int
    folder: str
    start: str


class NewRun:
    """What operators have decided goes on to hold: an excluded offset is excluded in the new run, too."""

    def __init__(
        self, start: str, store: CheckpointStore, folder: ServiceFolder, supervisor: Supervisor, operations: Operations
    ) -> None:
        self.start = start
        self._store = store
        self._folder = folder
        self._supervisor = supervisor
        self._operations = operations

    async def __call__(self, operation: Operation) -> NewRunResult:
        """Raises Refused, CheckpointError."""
        progress = self._operations.progress(operation)
        archive = self._folder.archive
        if progress.archive is None or not await asyncio.to_thread(archive.path(progress.archive).exists):
            await count_attempt(self._operations, operation)
            if not (await asyncio.to_thread(self.belongings)).checkpoints:
                return NewRunResult(checkpoints=0)
            async with self._supervisor.halted("a new run begins", keep=False):
                await self._put_aside(operation, archive)
        progress = self._operations.progress(operation)
        assert progress.archive is not None
        return NewRunResult(archive=str(archive.path(progress.archive).absolute()), **progress.counts)

    def belongings(self) -> Belongings:
        """Blocks. Raises CheckpointError."""
        infos = self._store.list()
        size_bytes = sum(info.size_bytes for info in infos)
        return Belongings(len(infos), size_bytes, str(self._folder.archive.folder.absolute()), self.start)

    async def _put_aside(self, operation: Operation, archive: Archive) -> None:
        """Once begun it can't be undone: a worker that started now would begin with whatever is left."""
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + f"-{operation.id[:8]}"
        counts = {"checkpoints": (await asyncio.to_thread(self.belongings)).checkpoints}
        progress = self._operations.progress(operation)
        await self._operations.note(operation, progress.model_copy(update={"archive": name, "counts": counts}))
        while True:
            try:
                await asyncio.to_thread(archive.begin, name)
                await asyncio.to_thread(archive.finish)
            except CheckpointError as error:
                _log.error("state_not_written", detail=str(error), retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                _log.info("checkpoints_put_aside", archive=str(archive.path(name)), **counts)
                return
