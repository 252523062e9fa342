"""Going back to an older checkpoint: what that would train again, and doing it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

import structlog
from pyroaring import BitMap64

from service.head import Head, Rewrite
from service.lag import Lag
from service.operations import Operation, Operations, RestoreRequest, SaveResult
from service.problem_details import details
from service.shelf import Shelf
from service.supervisor import Supervisor
from service.work_desk import Refused
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import AcceptLoss
from streaming.errors import CheckpointError
from streaming.ledger.intervals import intervals, within
from streaming.ledger.ledger import Kind, Ledger

KIND = "restore"
OTHER_LIFE = "that checkpoint is about another life of the topic, so there is nothing to skip; use retrain"
_log = structlog.get_logger()


class Consequence(NamedTuple):
    """For one partition: offsets that are settled now and wouldn't be, and those of them that the topic has no more.

    trained: how many of `again` are in the weights now. gone: None while nobody knows where the log begins.
    """

    topic: str
    partition: int
    position: int
    again: BitMap64
    trained: int
    gone: BitMap64 | None


def consequences(now: Ledger, then: Ledger, log_starts: Mapping[int, int] | None) -> list[Consequence]:
    """What a restore of `then` does to each partition of `now`. Pure.

    What is lost or absent already isn't gone anew. A ledger of another life of the topic has nothing of this one.
    """
    same = now.generation.topic_id == then.generation.topic_id
    found = []
    for partition in now.partitions():
        known = same and partition in then.partitions()
        origin, end = now.origin(partition), now.highest(partition)
        again = now.settled(partition) - then.settled(partition) if known else now.settled(partition)
        trained = again & now.of_kind(partition, Kind.TRAINED, origin, end)
        gone = None
        if log_starts is not None:
            unreadable = (now.of_kind(partition, kind, origin, end) for kind in (Kind.LOST, Kind.ABSENT))
            gone = within(again, 0, log_starts.get(partition, 0)).difference(*unreadable)
        position = then.position(partition) if known else origin
        found.append(Consequence(now.generation.topic, partition, position, again, len(trained), gone))
    return found


def leaving_out(now: Ledger) -> Callable[[Ledger], Ledger]:
    """A change that excludes whatever is settled in `now` and not in the ledger given."""

    def change(ledger: Ledger) -> Ledger:
        for partition in now.partitions():
            if partition not in ledger.partitions():
                ledger.open_partition(partition, now.origin(partition))
            for start, stop in intervals(now.settled(partition) - ledger.settled(partition)):
                ledger.record_range(partition, Kind.EXCLUDED, start, stop)
        return ledger

    return change


class Rollback:
    """The work of a restore operation."""

    def __init__(
        self,
        store: CheckpointStore,
        shelf: Shelf,
        head: Head,
        supervisor: Supervisor,
        operations: Operations,
        lag: Lag,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._head = head
        self._supervisor = supervisor
        self._operations = operations
        self._lag = lag

    async def __call__(self, operation: Operation) -> SaveResult:
        """Raises Refused, CheckpointError."""
        wanted = operation.request
        assert isinstance(wanted, RestoreRequest)
        if self._operations.progress(operation).epoch is None:
            await asyncio.to_thread(self._shelf.verify, wanted.checkpoint_id)  # before a worker is stopped for it
        async with self._kept(operation, wanted.checkpoint_id):
            if wanted.accept_loss:
                await self._accept_loss()
            why = f"going back to checkpoint {wanted.checkpoint_id}"
            made = await self._head.rewrite(operation, why, lambda: self._prepare(wanted))
        assert made.checkpoint_id is not None
        return SaveResult(checkpoint_id=made.checkpoint_id)

    def _prepare(self, wanted: RestoreRequest) -> Rewrite:
        if wanted.records == "retrain":
            return Rewrite(wanted.checkpoint_id, "restore")
        newest, _ = self._store.newest_valid()
        assert newest is not None
        now = self._store.ledger(newest.id)
        if now.generation.topic_id != self._store.manifest(wanted.checkpoint_id).generation.topic_id:
            raise Refused(details(HTTPStatus.CONFLICT, "topic-recreated", OTHER_LIFE))
        return Rewrite(wanted.checkpoint_id, "restore", leaving_out(now))

    async def _accept_loss(self) -> None:
        """What is gone now was accepted, so that it won't be a problem once it is booked as lost."""
        starts, newest = self._lag.starts(), await asyncio.to_thread(self._shelf.newest)
        if starts and newest is not None:
            topic_id = newest[1].generation.topic_id
            await self._supervisor.decide(AcceptLoss(at=time.time(), topic_id=topic_id, before=dict(starts)))

    @asynccontextmanager
    async def _kept(self, operation: Operation, source: str) -> AsyncIterator[None]:
        """Pinned for so long: the worker's final save prunes, and could take away just this one."""
        progress = self._operations.progress(operation)
        info = await asyncio.to_thread(self._shelf.find, source)
        pin = info is not None and (progress.unpin or not info.pinned)
        if pin:
            await self._operations.note(operation, progress.model_copy(update={"unpin": True}))
            await asyncio.to_thread(self._store.set_pinned, source, True)
        try:
            yield
        finally:
            if pin:
                await asyncio.to_thread(self._unpin, source)

    def _unpin(self, source: str) -> None:
        try:
            self._store.set_pinned(source, False)
        except CheckpointError as error:
            _log.warning("checkpoint_stays_pinned", checkpoint_id=source, detail=str(error))
