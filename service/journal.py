"""What has happened, for people: the newest two hundred events, one sentence each, since the service started."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from service.operation import OPEN, Operation, OperationState
from service.tape import Tape
from service.worker_life import Ending, Reason, WorkerListener
from service.worker_view import WorkerView
from streaming.control.messages import Committed, Problem, SaveFailed, ToSidecar, WorkerState

KEPT = 200
About = Literal["state", "worker", "checkpoint", "problem", "operation"]
_EXPECTED = frozenset({Reason.HALTED, Reason.PARKED})
_TOLD_ELSEWHERE = frozenset({"periodic", "request"})  # there are too many of the one; the other is an operation
_STATES = {
    WorkerState.STARTING: "A worker is starting",
    WorkerState.RESTORING: "The worker restores its state",
    WorkerState.TRAINING: "Training",
    WorkerState.PAUSED: "Training is paused",
    WorkerState.DRAINING: "The worker is finishing",
    WorkerState.RESTARTING: "The worker is started again",
    WorkerState.STOPPED: "Training is stopped",
    WorkerState.FAILED: "Training has failed",
}


class Happening(NamedTuple):
    """at: Unix seconds. bad: somebody may want to look into it."""

    at: float
    about: About
    text: str
    bad: bool


class Journal(WorkerListener):
    """Hears the worker, and looks at what else changes; `look` is to be called every second."""

    def __init__(self, view: WorkerView) -> None:
        self._view = view
        self._state: WorkerState | None = None
        self._desired = view.desired
        self._problems: dict[str, frozenset[object]] = {}
        self._operations: dict[str, OperationState] | None = None
        self.happenings: Tape[Happening] = Tape(KEPT)

    def begin(self, operations: Iterable[Operation]) -> None:
        """What an earlier service left: no news. Until they are known, none is told."""
        self._operations = {each.id: each.state for each in operations}

    def worker_gone(self, ending: Ending) -> None:
        if ending.reason not in _EXPECTED:
            self._note("worker", f"The worker ended: {ending.detail}", bad=not ending.finished)

    def worker_said(self, message: ToSidecar) -> None:
        match message:
            case Committed() if message.cause not in _TOLD_ELSEWHERE:
                self._note("checkpoint", f"Checkpoint {message.checkpoint_id} at step {message.step} ({message.cause})")
            case SaveFailed(detail=detail):
                self._note("checkpoint", f"A checkpoint could not be taken: {detail}", bad=True)

    def look(self, operations: Iterable[Operation]) -> None:
        self._look_at_state()
        self._look_at_problems({problem.type: problem for problem in self._view.problems})
        self._look_at_operations(list(operations))

    def _look_at_state(self) -> None:
        if self._view.desired is not self._desired:
            self._desired = self._view.desired
            self._note("state", f"Asked to be {self._desired}")
        state = WorkerState.TRAINING if self._view.state is WorkerState.WAITING else self._view.state
        if state is not self._state:
            self._state = state
            self._note("state", _STATES[state], bad=state is WorkerState.FAILED)

    def _look_at_problems(self, problems: Mapping[str, Problem]) -> None:
        """One that spreads, to another partition or to more records, is told again; clocks that count aren't.

        While no worker reports, nothing is said to be over: the next one may have the same to tell.
        """
        for name, problem in problems.items():
            told, parts = self._problems.get(name), _parts(problem.facts)
            if told is None or parts - told:
                self._note("problem", f"{name}: {problem.detail}", bad=True)
            self._problems[name] = parts | (told or frozenset())
        gone = self._problems.keys() - problems.keys()
        for name in gone if self._view.status is not None else ():
            self._note("problem", f"{name} is over")
            del self._problems[name]

    def _look_at_operations(self, operations: list[Operation]) -> None:
        if self._operations is None:
            return
        before, self._operations = self._operations, {each.id: each.state for each in operations}
        for each in reversed(operations):
            if each.state not in OPEN and before.get(each.id) is not each.state:
                self._note("operation", _told(each), bad=each.problem is not None)

    def _note(self, about: About, text: str, *, bad: bool = False) -> None:
        self.happenings.add(Happening(time.time(), about, text, bad))


def _parts(facts: Mapping[str, Any]) -> frozenset[object]:
    """Each single thing that they name."""
    parts: set[object] = set()
    for name, value in facts.items():
        some = value.items() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        parts |= {(name, part) for part in some}
    return frozenset(parts)


def _told(operation: Operation) -> str:
    source = getattr(operation.request, "checkpoint_id", None)
    made = getattr(operation.result, "checkpoint_id", None)
    what = f"{operation.kind} of {source}" if source else operation.kind
    why = f": {operation.problem.detail}" if operation.problem is not None else f": {made}" if made else ""
    return f"{what} {operation.state}{why}"
