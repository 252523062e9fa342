"""Puts a new checkpoint at the head of the line while no worker works; once, whatever is killed meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from service.attempts import count_attempt
from service.folder import ServiceFolder
from service.operation import Operation, Progress
from service.operations import Operations
from service.supervisor import Supervisor
from streaming.checkpoints.derive import derive
from streaming.checkpoints.manifest import Cause, parse_id
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import Decision
from streaming.errors import CheckpointError
from streaming.ledger.ledger import Ledger


class Rewrite(NamedTuple):
    """A checkpoint to be made of another one. change, fields, files: see `derive`; counts: what the operation's result
    will say; decisions: to be made first, in this order; idle: there is nothing to do."""

    source: str
    cause: Cause
    change: Callable[[Ledger], Ledger] | None = None
    counts: Mapping[str, int] = {}
    fields: Mapping[str, Any] = {}
    decisions: Sequence[Decision] = ()
    files: Mapping[str, Path] = {}
    idle: bool = False


class Made(NamedTuple):
    """checkpoint_id: None where there was nothing to make."""

    checkpoint_id: str | None
    counts: Mapping[str, int]


class Head:
    """The worker lets go of its work for it, and begins again with the new checkpoint."""

    def __init__(
        self, store: CheckpointStore, folder: ServiceFolder, supervisor: Supervisor, operations: Operations
    ) -> None:
        self._store = store
        self._folder = folder
        self._supervisor = supervisor
        self._operations = operations

    async def rewrite(
        self, operation: Operation, why: str, prepare: Callable[[], Awaitable[Rewrite]], *, keep: bool = True
    ) -> Made:
        """Make what `prepare` wants, which is asked twice: before a worker is stopped for it, and when that has taken
        its final checkpoint. keep: the worker may keep its process and its model.

        An operation that was cut short is looked up first: the writer epoch of its checkpoint is on disk before the
        checkpoint is. One that ends the service each time is given up. Raises Refused, CheckpointError, and what
        `prepare` raises; then there is no new checkpoint.
        """
        made = await asyncio.to_thread(self._made_before, operation)
        if made is not None:
            return made
        await count_attempt(self._operations, operation)
        wanted = await prepare()
        if wanted.idle:
            return Made(None, wanted.counts)
        async with self._supervisor.halted(why, keep=keep):
            wanted = await prepare()
            if wanted.idle:
                return Made(None, wanted.counts)
            for decision in wanted.decisions:
                await self._supervisor.decide(decision)
            return await self._make(operation, wanted)

    async def _make(self, operation: Operation, wanted: Rewrite) -> Made:
        epoch = await asyncio.to_thread(self._folder.next_epoch)
        counts = dict(wanted.counts)
        await self._operations.note(operation, self._progress(operation, epoch=epoch, counts=counts))
        try:
            manifest = await asyncio.to_thread(
                derive,
                self._store,
                wanted.source,
                epoch=epoch,
                cause=wanted.cause,
                change=wanted.change,
                fields=wanted.fields,
                files=wanted.files,
            )
            made = Made(manifest.id, counts)
        except CheckpointError:
            stands = await asyncio.to_thread(self._made_before, operation)  # it could be neither finished nor undone
            if stands is None:
                raise
            made = stands
        # Before a worker saves others, and prunes it one day.
        await self._operations.insist(operation, self._progress(operation, made=made.checkpoint_id))
        return made

    def _progress(self, operation: Operation, **update: object) -> Progress:
        return self._operations.progress(operation).model_copy(update=update)

    def _made_before(self, operation: Operation) -> Made | None:
        progress = self._operations.progress(operation)
        if progress.made is not None:
            return Made(progress.made, progress.counts)
        if progress.epoch is None:
            return None
        ids = [info.id for info in self._store.list() if parse_id(info.id)[0] == progress.epoch]
        return Made(ids[-1], progress.counts) if ids else None
