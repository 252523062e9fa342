"""Puts a new checkpoint at the head of the line while no worker runs; once, whatever is killed meanwhile."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from service.folder import ServiceFolder
from service.operations import Operation, Operations
from service.supervisor import Supervisor
from streaming.checkpoints.derive import derive
from streaming.checkpoints.manifest import Cause, parse_id
from streaming.checkpoints.store import CheckpointStore
from streaming.ledger.ledger import Ledger


class Rewrite(NamedTuple):
    """A checkpoint to be made of another one. change: see `derive`; counts: what the operation's result will say."""

    source: str
    cause: Cause
    change: Callable[[Ledger], Ledger] | None = None
    counts: Mapping[str, int] = {}


class Made(NamedTuple):
    """checkpoint_id: None where there was nothing to make."""

    checkpoint_id: str | None
    counts: Mapping[str, int]


class Head:
    """The worker is shut down for it, and the next one begins with the new checkpoint."""

    def __init__(
        self, store: CheckpointStore, folder: ServiceFolder, supervisor: Supervisor, operations: Operations
    ) -> None:
        self._store = store
        self._folder = folder
        self._supervisor = supervisor
        self._operations = operations

    async def rewrite(self, operation: Operation, why: str, prepare: Callable[[], Rewrite]) -> Made:
        """Make what `prepare` wants, which is called on a thread when the worker has taken its final checkpoint.

        An operation that was cut short is looked up first: the writer epoch of its checkpoint is on disk before the
        checkpoint is. Raises CheckpointError, and what `prepare` raises; then nothing has changed.
        """
        made = await asyncio.to_thread(self._made_before, operation)
        if made is not None:
            return made
        async with self._supervisor.halted(why):
            wanted = await asyncio.to_thread(prepare)
            if wanted.counts.get("records") == 0:
                return Made(None, wanted.counts)
            epoch = await asyncio.to_thread(self._folder.next_epoch)
            begun = {"epoch": epoch, "counts": dict(wanted.counts)}
            await self._operations.note(operation, self._operations.progress(operation).model_copy(update=begun))
            manifest = await asyncio.to_thread(
                derive, self._store, wanted.source, epoch=epoch, cause=wanted.cause, change=wanted.change
            )
            made_now = {"made": manifest.id}  # before a worker saves others, and prunes it one day
            await self._operations.insist(operation, self._operations.progress(operation).model_copy(update=made_now))
            return Made(manifest.id, wanted.counts)

    def _made_before(self, operation: Operation) -> Made | None:
        progress = self._operations.progress(operation)
        if progress.made is not None:
            return Made(progress.made, progress.counts)
        if progress.epoch is None:
            return None
        ids = [info.id for info in self._store.list() if parse_id(info.id)[0] == progress.epoch]
        return Made(ids[-1], progress.counts) if ids else None
