"""Does slow work that was asked for over HTTP, in the order of the asking, and takes up again what was cut short."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus

import structlog

from service.operation import Operation, OperationState, Request, Result
from service.operations import NotNow, Operations
from service.problem_details import ProblemDetails, details
from service.shelf import CheckpointGone
from streaming.errors import CheckpointDamaged, CheckpointError

Work = Callable[[Operation], Awaitable[Result]]
_log = structlog.get_logger()


class Refused(Exception):
    """The work can't be done; problem: why."""

    def __init__(self, problem: ProblemDetails) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Interrupted(Exception):
    """The service ends; the next one does the work."""


class _Lane:
    """Work of some kinds, one piece after the other. task: does what is `doing` now, and then the rest."""

    def __init__(self, kinds: Collection[str]) -> None:
        self.kinds = kinds
        self.task: asyncio.Task[None] | None = None
        self.doing: Operation | None = None

    @property
    def idle(self) -> bool:
        return self.task is None or self.task.done()


class WorkDesk:
    """works: by kind of operation, what does it. A work may be begun again after a crash, so it must find out by
    itself what has been done; it raises Refused, Interrupted or CheckpointError. aside: kinds that take long and
    change nothing, so that the others don't wait for them; they are Interrupted when the service ends."""

    def __init__(
        self,
        operations: Operations,
        ours: Callable[[], Awaitable[None]],
        works: Mapping[str, Work],
        aside: Collection[str] = (),
    ) -> None:
        self._operations = operations
        self._ours = ours
        self._works = works
        self._lanes = [_Lane(works.keys() - set(aside)), _Lane(aside)]
        self._hurried = asyncio.Event()
        self._closed = False

    def take_up(self) -> None:
        """Begin again what an earlier service left unfinished."""
        for operation in self._operations.unfinished(*self._works):
            self._operations.change(operation, OperationState.QUEUED)
        self._begin()

    async def find(self, identifier: str) -> Operation | None:
        """Of any kind; one that isn't known waits until an earlier service's are read. Raises CheckpointError."""
        if (known := self._operations.get(identifier)) is not None:
            return known
        await self._ours()
        return self._operations.get(identifier)

    async def request(
        self, kind: str, wanted: Request, key: str | None, look: Callable[[], object] = lambda: None
    ) -> Operation:
        """A new operation, or the one that already does the same; durable when this returns.

        look: blocks, and raises for what isn't worth to be begun; not called for a key that asked for it before.
        Raises NotNow, TooMany, KeyReused, CheckpointError, and what `look` raises.
        """
        await self._ours()
        if self._operations.recall(kind, wanted, key) is None:
            await asyncio.to_thread(look)
        operation = await self._operations.ask(kind, wanted, key, self._works, self._refuse)
        self._begin()
        return operation

    def _refuse(self) -> None:
        if self._closed:
            raise NotNow("the service is stopping")

    async def close(self, left_s: float) -> bool:
        """Finish what changes the line of checkpoints, for so long at most or until `hurry`; the rest is the next
        service's. Whether nothing is at work any more: if not, only the end of the process stops it."""
        self._closed = True
        hurried = asyncio.create_task(self._hurried.wait())
        await asyncio.gather(*(self._end(lane, hurried, left_s) for lane in self._lanes))
        hurried.cancel()
        return all(lane.idle for lane in self._lanes)

    async def _end(self, lane: _Lane, hurried: asyncio.Task[bool], left_s: float) -> None:
        if lane.task is None or lane.doing is None or lane.idle:
            return
        if lane.doing.request.rewrites or lane is self._lanes[1]:
            await asyncio.wait({lane.task, hurried}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if not lane.idle:
            _log.warning("operation_left_to_the_next_service", operation=lane.doing.id, kind=lane.doing.kind)

    def hurry(self) -> None:
        """Wait for nothing in `close`."""
        self._hurried.set()

    def _begin(self) -> None:
        for lane in self._lanes:
            if not self._closed and lane.idle:
                lane.task = asyncio.create_task(self._work_off(lane))

    async def _work_off(self, lane: _Lane) -> None:
        while not self._closed and (waiting := self._operations.unfinished(*lane.kinds)):
            operation = lane.doing = waiting[0]
            if (problem := self._operations.progress(operation).given_up) is not None:
                self._operations.fail(operation, problem)
                continue
            self._operations.change(operation, OperationState.RUNNING)
            try:
                result = await self._works[operation.kind](operation)
            except Interrupted:
                return
            except Refused as refusal:
                await self._fail(operation, refusal.problem)
            except CheckpointGone as error:
                await self._fail(operation, details(HTTPStatus.NOT_FOUND, "checkpoint-not-found", str(error)))
            except CheckpointDamaged as error:
                await self._fail(operation, details(HTTPStatus.CONFLICT, "checkpoint-damaged", str(error)))
            except CheckpointError as error:
                await self._fail(operation, details(HTTPStatus.SERVICE_UNAVAILABLE, "checkpoint-storage", str(error)))
            except Exception:  # noqa: BLE001  # a bug in one piece of work must not keep the others waiting for ever
                _log.exception("operation_crashed", operation=operation.id, kind=operation.kind)
                text = "an unexpected error; the log has it as operation_crashed"
                await self._fail(operation, details(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", text))
            else:
                self._operations.succeed(operation, result)
                _log.info("operation_succeeded", operation=operation.id, kind=operation.kind, **result.model_dump())

    async def _fail(self, operation: Operation, problem: ProblemDetails) -> None:
        """What rewrites must be known to have failed before anyone is told: the next service would carry it out."""
        if operation.request.rewrites:
            progress = self._operations.progress(operation)
            await self._operations.insist(operation, progress.model_copy(update={"given_up": problem}))
        self._operations.fail(operation, problem)
        _log.warning("operation_failed", operation=operation.id, kind=operation.kind, detail=problem.detail)
