"""Slow work that was asked for over HTTP: a bounded, durable list of operations."""

import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from service.folder import StateFile
from service.problem_details import ProblemDetails
from streaming.errors import CheckpointError

KEPT = 200


class OperationState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = frozenset({OperationState.QUEUED, OperationState.RUNNING})


class SaveRequest(BaseModel):
    """What a checkpoint is asked to carry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str | None = None
    pin: bool = False


class SaveResult(BaseModel):
    checkpoint_id: str


class Operation(BaseModel):
    """One piece of work. result stands once it has succeeded, problem once it has failed."""

    id: str
    kind: str
    state: OperationState
    created_at: datetime
    finished_at: datetime | None = None
    request: SaveRequest
    result: SaveResult | None = None
    problem: ProblemDetails | None = None


class _Kept(BaseModel):
    operation: Operation
    keys: list[str] = []


_LIST = TypeAdapter(list[_Kept])


class Operations:
    """The newest 200, oldest first, kept in one file. Changes are in memory at once, on disk soon or when awaited."""

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._kept: dict[str, _Kept] = {}

    def load(self) -> None:
        """Take up what an earlier service left. Raises CheckpointError."""
        try:
            kept = _LIST.validate_python(self._file.read() or [])
        except ValidationError as error:
            raise CheckpointError(f"the operations' file can't be read: {error}; move it away") from error
        self._kept = {each.operation.id: each for each in kept}

    def create(self, kind: str, request: SaveRequest) -> Operation:
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

    def unfinished(self) -> list[Operation]:
        return [kept.operation for kept in self._kept.values() if kept.operation.state in OPEN]

    def bind(self, operation: Operation, key: str | None) -> None:
        """Remember an Idempotency-Key: asked again with it, the client gets this operation."""
        if key is not None:
            self._kept[operation.id].keys.append(key)

    def bound_to(self, key: str | None) -> Operation | None:
        if key is None:
            return None
        return next((kept.operation for kept in self._kept.values() if key in kept.keys), None)

    def change(self, operation: Operation, state: OperationState) -> None:
        operation.state = state
        self._file.write_soon(self._dump)

    def succeed(self, operation: Operation, result: SaveResult) -> None:
        operation.result = result
        self._finish(operation, OperationState.SUCCEEDED)

    def fail(self, operation: Operation, problem: ProblemDetails) -> None:
        operation.problem = problem
        self._finish(operation, OperationState.FAILED)

    async def keep(self) -> None:
        """Durable when this returns. Raises CheckpointError."""
        await self._file.write(self._dump)

    def _finish(self, operation: Operation, state: OperationState) -> None:
        operation.finished_at = datetime.now(UTC)
        self.change(operation, state)

    def _drop_oldest(self) -> None:
        finished = [each for each, kept in self._kept.items() if kept.operation.state not in OPEN]
        for identifier in finished[: max(0, len(self._kept) - KEPT)]:
            del self._kept[identifier]

    def _dump(self) -> object:
        return _LIST.dump_python(list(self._kept.values()), mode="json")
