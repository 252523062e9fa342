"""Slow work that was asked for over HTTP: a bounded, durable list of operations."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.folder import RETRY_S, StateFile
from service.operation import OPEN, Operation, OperationState, Progress, Request, Result
from service.problem_details import ProblemDetails
from streaming.errors import CheckpointError

KEPT = 200
MOST_OPEN = 16
_log = structlog.get_logger()


class NotNow(Exception):
    """The service is stopped or has failed; nobody will come to do anything."""


class TooMany(Exception):
    """So many different pieces of work are waiting already that another has to wait."""


class KeyReused(Exception):
    """The same Idempotency-Key came before with another request."""


class _Kept(BaseModel):
    operation: Operation
    keys: list[str] = []
    progress: Progress = Progress()


_LIST = TypeAdapter(list[_Kept])


class Operations:
    """The newest 200, oldest first, kept in one file. Changes are in memory at once, on disk soon or when awaited."""

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._kept: dict[str, _Kept] = {}
        self._durable: set[str] = set()

    def load(self) -> None:
        """Take up what an earlier service left. Raises CheckpointError."""
        try:
            kept = _LIST.validate_python(self._file.read() or [])
        except ValidationError as error:
            raise CheckpointError(f"the operations' file can't be read: {error}; move it away") from error
        self._kept = {each.operation.id: each for each in kept}
        self._durable = set(self._kept)

    def recall(self, kind: str, wanted: Request, key: str | None) -> Operation | None:
        """The operation that this Idempotency-Key asked for before. Raises KeyReused."""
        known = None if key is None else next((each for each in self._kept.values() if key in each.keys), None)
        if known is None:
            return None
        if (known.operation.kind, known.operation.request) != (kind, wanted):
            raise KeyReused
        return known.operation

    async def ask(
        self,
        kind: str,
        wanted: Request,
        key: str | None,
        queue: Collection[str],
        refuse: Callable[[], None],
    ) -> Operation:
        """What this key asked for before, else the unfinished one that does the same, else a new one.

        Durable when this returns, and only then among the `unfinished`. queue: the kinds that wait for each other;
        refuse: raises NotNow when nothing more is taken in. Raises KeyReused, TooMany, CheckpointError; then nothing
        new has come of it.
        """
        operation = self.recall(kind, wanted, key)
        if operation is None:
            refuse()
            operation = self._same(kind, wanted, queue)
        if operation is None:
            if len(self._open(queue)) >= MOST_OPEN:
                raise TooMany
            operation = self.create(kind, wanted)
            told = wanted.model_dump(mode="json", exclude_none=True)
            _log.info("operation_requested", operation=operation.id, kind=kind, **told)
        await self._admit(operation, key)
        return operation

    def create(self, kind: str, request: Request) -> Operation:
        identifier = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
        operation = Operation(
            id=identifier, kind=kind, state=OperationState.QUEUED, created_at=datetime.now(UTC), request=request
        )
        self._kept[identifier] = _Kept(operation=operation)
        self._drop_oldest()
        return operation

    def get(self, identifier: str) -> Operation | None:
        kept = self._kept.get(identifier)
        return kept.operation if kept else None

    def newest_first(self) -> list[Operation]:
        return [kept.operation for kept in reversed(self._kept.values())]

    def unfinished(self, *kinds: str) -> list[Operation]:
        """Those of some kinds that are durable, the oldest first."""
        return [each for each in self._open(kinds) if each.id in self._durable]

    def progress(self, operation: Operation) -> Progress:
        return self._kept[operation.id].progress

    async def note(self, operation: Operation, progress: Progress) -> None:
        """Durable when this returns. Raises CheckpointError."""
        self._kept[operation.id].progress = progress
        await self._file.write(self._dump)

    async def insist(self, operation: Operation, progress: Progress) -> None:
        """Durable when this returns, however long it takes until the disk can be written."""
        while True:
            try:
                return await self.note(operation, progress)
            except CheckpointError as error:
                _log.error("state_not_written", detail=str(error), retry_s=RETRY_S)
                await asyncio.sleep(RETRY_S)

    def change(self, operation: Operation, state: OperationState) -> None:
        operation.state = state
        self._file.write_soon(self._dump)

    def succeed(self, operation: Operation, result: Result) -> None:
        operation.result = result
        self._finish(operation, OperationState.SUCCEEDED)

    def fail(self, operation: Operation, problem: ProblemDetails) -> None:
        operation.problem = problem
        self._finish(operation, OperationState.FAILED)

    def _open(self, kinds: Collection[str]) -> list[Operation]:
        known = (kept.operation for kept in self._kept.values())
        return [each for each in known if each.kind in kinds and each.state in OPEN]

    def _same(self, kind: str, wanted: Request, queue: Collection[str]) -> Operation | None:
        """The unfinished operation that does the same. After another rewrite, a rewrite isn't the same any more."""
        waiting = [each for each in self._open(queue) if each.request.rewrites or not wanted.rewrites]
        if wanted.rewrites:
            waiting = waiting[-1:]
        return next((each for each in waiting if (each.kind, each.request) == (kind, wanted)), None)

    async def _admit(self, operation: Operation, key: str | None) -> None:
        """Bind a key to it and make it durable. Raises CheckpointError; then what was only just asked for is gone."""
        kept = self._kept[operation.id]
        if key is not None and key not in kept.keys:
            kept.keys.append(key)
        try:
            await self._file.write(self._dump)
        except CheckpointError:
            if operation.id not in self._durable and self._kept.pop(operation.id, None) is not None:
                self._file.write_soon(self._dump)  # another write may have carried it to the disk
            raise
        if operation.id not in self._kept:  # another caller's write of it failed meanwhile
            raise CheckpointError("the operation could not be written")
        self._durable.add(operation.id)

    def _finish(self, operation: Operation, state: OperationState) -> None:
        operation.finished_at = datetime.now(UTC)
        self.change(operation, state)

    def _drop_oldest(self) -> None:
        finished = [each for each, kept in self._kept.items() if kept.operation.state not in OPEN]
        for identifier in finished[: max(0, len(self._kept) - KEPT)]:
            del self._kept[identifier]
            self._durable.discard(identifier)

    def _dump(self) -> object:
        return _LIST.dump_python(list(self._kept.values()), mode="json")
