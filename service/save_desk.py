"""Takes requests for a checkpoint, joins those that ask for the same, and sees each through to its end."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus

from service.health import ENDED
from service.operation import OPEN, Operation, OperationState, SaveRequest, SaveResult
from service.operations import NotNow, Operations
from service.problem_details import ProblemDetails, details
from service.worker_life import Ending, WorkerListener
from service.worker_view import WORKING, WorkerView
from streaming.control.messages import Committed, Save, SaveFailed, Status, ToSidecar, ToWorker

KIND = "checkpoint"
DEADLINE_S = 300.0


class SaveDesk(WorkerListener):
    """A request is queued until a worker can take it, and is sent again when that worker dies with it."""

    def __init__(
        self,
        operations: Operations,
        view: WorkerView,
        send: Callable[[ToWorker], bool],
        ours: Callable[[], Awaitable[None]],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._operations = operations
        self._view = view
        self._send = send
        self._ours = ours
        self._deadline_s = deadline_s
        self._ready = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def take_up(self) -> None:
        """Queue again what an earlier service left unfinished, as far as its deadline allows."""
        for operation in self._operations.unfinished(KIND):
            self._operations.change(operation, OperationState.QUEUED)
            self._set_deadline(operation)

    async def request(self, wanted: SaveRequest, key: str | None) -> Operation:
        """A new operation, or the one that already does the same; durable when this returns.

        Raises NotNow, TooMany, KeyReused, CheckpointError.
        """
        if self._operations.recall(KIND, wanted, key) is None:
            self._refuse()  # also before the folder is ours: a service that never gets it ends
        await self._ours()
        operation = await self._operations.ask(KIND, wanted, key, (KIND,), self._refuse)
        if operation.state in OPEN and operation.id not in self._timers:
            self._set_deadline(operation)
        if self._ready:
            self._send_queued()
        return operation

    def give_up(self, slug: str, reason: str) -> None:
        """No worker will come any more: fail whatever is open."""
        for operation in self._operations.unfinished(KIND):
            self._fail(operation, details(HTTPStatus.CONFLICT, slug, reason))

    def worker_started(self) -> None:
        self._ready = False

    def worker_said(self, message: ToSidecar) -> None:
        match message:
            case Status(state=state):
                if not self._ready and state in WORKING:
                    self._ready = True
                    self._send_queued()
            case Committed(checkpoint_id=identifier, request_ids=answered):
                for operation in self._running(answered):
                    self._cancel_deadline(operation)
                    self._operations.succeed(operation, SaveResult(checkpoint_id=identifier))
            case SaveFailed(detail=detail, request_ids=answered):
                for operation in self._running(answered):
                    self._fail(operation, details(HTTPStatus.SERVICE_UNAVAILABLE, "save-failed", detail))

    def worker_gone(self, ending: Ending) -> None:
        self._ready = False
        for operation in self._operations.unfinished(KIND):
            if operation.state is OperationState.RUNNING:
                self._operations.change(operation, OperationState.QUEUED)

    def training_stopped(self) -> None:
        self.give_up("not-now", self._view.doing)

    def _refuse(self) -> None:
        if self._view.state in ENDED:
            raise NotNow(self._view.doing)

    def _send_queued(self) -> None:
        for operation in self._operations.unfinished(KIND):
            wanted = operation.request
            assert isinstance(wanted, SaveRequest)
            save = Save(request_id=operation.id, label=wanted.label, pinned=wanted.pin)
            if operation.state is OperationState.QUEUED and self._send(save):
                self._operations.change(operation, OperationState.RUNNING)

    def _running(self, identifiers: list[str]) -> list[Operation]:
        return [each for each in self._operations.unfinished(KIND) if each.id in identifiers]

    def _fail(self, operation: Operation, problem: ProblemDetails) -> None:
        self._cancel_deadline(operation)
        self._operations.fail(operation, problem)

    def _set_deadline(self, operation: Operation) -> None:
        """Counted from the request: whatever it waits for may never come, and clocks may be set back."""
        left_s = self._deadline_s - (datetime.now(UTC) - operation.created_at).total_seconds()
        wait_s = min(self._deadline_s, max(0.0, left_s))
        self._timers[operation.id] = asyncio.get_running_loop().call_later(wait_s, self._expire, operation)

    def _cancel_deadline(self, operation: Operation) -> None:
        timer = self._timers.pop(operation.id, None)
        if timer is not None:
            timer.cancel()

    def _expire(self, operation: Operation) -> None:
        text = f"there was no checkpoint within {self._deadline_s:.0f} s; the service is {self._view.state}"
        self._fail(operation, details(HTTPStatus.GATEWAY_TIMEOUT, "checkpoint-deadline", text))
