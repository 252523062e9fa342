"""Goes back to an older checkpoint, and sees to it that what was left out for good stays out."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import structlog

from service.consequences import Prospect, Prospects, leaving_out
from service.excision import OTHER_LIFE, leave_out, refuse_what_is_learnt
from service.folder import RETRY_S, ServiceFolder
from service.head import Head, Rewrite
from service.lag import Lag
from service.operation import Operation, RestoreRequest, SaveResult
from service.operations import Operations
from service.problem_details import details
from service.shelf import Shelf
from service.supervisor import Supervisor
from service.work_desk import Refused
from service.worker_view import WorkerView
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import AcceptLoss, Decision, Skip
from streaming.decided import Decided
from streaming.errors import CheckpointError
from streaming.ledger.intervals import intervals

KIND = "restore"
CUT = "the log was cut short, and no checkpoint knows it yet: resolve that problem first, it then holds for every one"
_log = structlog.get_logger()


class Rollback:
    """The work of a restore operation."""

    def __init__(
        self,
        store: CheckpointStore,
        shelf: Shelf,
        head: Head,
        supervisor: Supervisor,
        operations: Operations,
        folder: ServiceFolder,
        prospects: Prospects,
        lag: Lag,
        view: WorkerView,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._head = head
        self._supervisor = supervisor
        self._operations = operations
        self._folder = folder
        self._prospects = prospects
        self._lag = lag
        self._view = view

    async def __call__(self, operation: Operation) -> SaveResult:
        """Raises Refused, CheckpointError."""
        wanted = operation.request
        assert isinstance(wanted, RestoreRequest)
        if self._operations.progress(operation).epoch is None:
            await asyncio.to_thread(self._shelf.verify, wanted.checkpoint_id)  # before a worker is stopped for it
        async with self.kept(operation, wanted.checkpoint_id):
            why = f"going back to checkpoint {wanted.checkpoint_id}"
            made = await self._head.rewrite(operation, why, lambda: self.prepare(wanted))
            assert made.checkpoint_id is not None
            if wanted.records == "skip":
                await self._skip_for_good(wanted.checkpoint_id, made.checkpoint_id)
        return SaveResult(checkpoint_id=made.checkpoint_id)

    async def prepare(self, wanted: RestoreRequest) -> Rewrite:
        """What makes that checkpoint the newest again. Raises Refused, CheckpointError."""
        if self._view.failure is not None and self._view.failure.type == "log-truncated":
            raise Refused(details(HTTPStatus.CONFLICT, "log-truncated", CUT))
        if wanted.records == "retrain" or wanted.exclude:
            await self._lag.first_look()
        return await asyncio.to_thread(self._rewrite, wanted)

    def _rewrite(self, wanted: RestoreRequest) -> Rewrite:
        source = wanted.checkpoint_id
        prospect = self._prospects.of(source, exclude=wanted.exclude)
        refuse_what_is_learnt(source, prospect.excisions)
        decisions = self._left_out(prospect)
        if wanted.records == "skip":
            if not prospect.same_life:
                raise Refused(details(HTTPStatus.CONFLICT, "topic-recreated", OTHER_LIFE))
            fields = self._prospects.taken_in(source, prospect.decisions)
            change = leaving_out(prospect.now)
            return Rewrite(source, "restore", lambda _: change(prospect.then), fields=fields, decisions=decisions)
        if prospect.loss is not None and not wanted.accept_loss:
            raise Refused(details(HTTPStatus.CONFLICT, "records-gone", prospect.loss))
        decisions += self._accepted(prospect)
        if not prospect.excisions:
            return Rewrite(source, "restore", decisions=decisions)
        return Rewrite(source, "restore", lambda saved: leave_out(saved, prospect.excisions), decisions=decisions)

    def _left_out(self, prospect: Prospect) -> list[Decision]:
        """In every older checkpoint, too: a later restore of one doesn't bring them back."""
        offsets = {each.partition: list(intervals(each.excluded)) for each in prospect.excisions if each.excluded}
        return [Skip(at=time.time(), topic_id=prospect.now.generation.topic_id, offsets=offsets)] if offsets else []

    def _accepted(self, prospect: Prospect) -> list[Decision]:
        """What is gone is known, so that it won't be a problem once it is booked as lost."""
        topic_id, starts = prospect.now.generation.topic_id, self._lag.starts() or {}
        known = Decided(self._folder.decisions.all()).losses(topic_id)
        gone = {each.partition: starts.get(each.partition, 0) for each in prospect.partitions if each.gone}
        before = {partition: start for partition, start in gone.items() if start > known.get(partition, 0)}
        return [AcceptLoss(at=time.time(), topic_id=topic_id, before=before)] if before else []

    async def _skip_for_good(self, source: str, made: str) -> None:
        """In the checkpoint made it is excluded; as a decision it is so in every older one, too. Once only: what is
        decided already is no consequence any more."""
        while True:
            try:
                decision = await asyncio.to_thread(self._skipped, source, made)
                if decision is not None:
                    await self._supervisor.decide(decision)
            except CheckpointError as error:  # the checkpoint stands: not to decide it would undo half of the restore
                _log.error("state_not_written", detail=str(error), retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _skipped(self, source: str, made: str) -> Decision | None:
        if self._shelf.find(made) is None:
            return None  # long done, and retention took it meanwhile
        prospect = self._prospects.of(source, made)
        offsets = {each.partition: list(intervals(each.again)) for each in prospect.partitions if each.again}
        return Skip(at=time.time(), topic_id=prospect.now.generation.topic_id, offsets=offsets) if offsets else None

    @asynccontextmanager
    async def kept(self, operation: Operation, source: str) -> AsyncIterator[None]:
        """Pinned for so long: the worker's final save prunes, and could take away just this one."""
        progress = self._operations.progress(operation)
        info = await asyncio.to_thread(self._shelf.find, source)
        pin = info is not None and (progress.unpin or not info.pinned)
        if pin and not progress.unpin:
            await self._operations.note(operation, progress.model_copy(update={"unpin": True}))
        if info is not None and not info.pinned:
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
