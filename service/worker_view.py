"""What the service knows of its worker now. Written by the supervisor alone, read by routes and metrics."""

import time
from collections import deque
from enum import StrEnum
from typing import NamedTuple

from streaming.control.messages import (
    Allowance,
    Committed,
    Greeting,
    PartitionStatus,
    Problem,
    Status,
    WorkerState,
)

WORKING = frozenset({WorkerState.TRAINING, WorkerState.WAITING, WorkerState.PAUSED})
RATE_WINDOW_S = 15.0
_RATE_STEP_S = 0.5


class Desired(StrEnum):
    """What the operator wants; survives a restart of the service."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Durable(NamedTuple):
    """What the newest checkpoint says: the truth while no worker does. topic_id: of the topic its ledger is about."""

    checkpoint_id: str
    step: int
    created_at_s: float
    size_bytes: int
    records: dict[str, int]
    partitions: list[PartitionStatus]
    topic_id: str


class Rates(NamedTuple):
    """Means over the last 15 s."""

    records_per_s: float
    steps_per_s: float


class WorkerView:
    """The newest state, frames and process facts. Times named `_at` are Unix seconds, `clock` is monotonic."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self.state = WorkerState.STARTING
        self.doing = "the service is starting"
        self.desired = Desired.RUNNING
        self.failure: Problem | None = None
        self.outage: Problem | None = None
        self.expiry: Problem | None = None
        self.greeting: Greeting | None = None
        self.status: Status | None = None
        self.durable: Durable | None = None
        self.committed: Committed | None = None
        self.committed_at: float | None = None
        self.free_bytes: int | None = None
        self.pid: int | None = None
        self.epoch: int | None = None
        self.started_at: float | None = None
        self.restarts = 0
        self.started_once = False
        self.patience_s = stall_s
        self.report_due: float | None = None
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=int(RATE_WINDOW_S / _RATE_STEP_S) + 1)

    def expect_report(self, due: float) -> None:
        """A worker is, or will be, due to report from `due` (monotonic) on."""
        self.report_due, self.patience_s = due, self._stall_s

    def begin(self, pid: int, epoch: int) -> None:
        self.pid, self.epoch, self.started_at = pid, epoch, time.time()
        self.state, self.doing = WorkerState.STARTING, "the worker is starting"
        self.expect_report(time.monotonic())

    def greet(self, greeting: Greeting) -> None:
        """A new worker lives; until it reports, the newest checkpoint goes on being the truth."""
        self.greeting = greeting
        self.expect_report(time.monotonic())

    def allow(self, allowance: Allowance) -> None:
        self.state, self.doing = allowance.state, allowance.doing
        self.report_due, self.patience_s = time.monotonic(), max(self._stall_s, allowance.seconds)

    def report(self, status: Status) -> None:
        now = time.monotonic()
        self.status, self.state, self.doing = status, status.state, ""
        self.started_once = self.started_once or status.state in WORKING
        self.expect_report(now)
        if not self._marks or now - self._marks[-1][0] >= _RATE_STEP_S:
            self._marks.append((now, status.step, status.records.get("trained", 0)))

    def commit(self, committed: Committed) -> None:
        self.committed, self.committed_at = committed, time.time()

    def end(self, state: WorkerState, doing: str) -> None:
        """The worker is gone: what it said last is no longer true, the newest checkpoint is."""
        self.pid, self.status, self.greeting, self.state, self.doing = None, None, None, state, doing
        self._marks.clear()

    def fail(self, problem: Problem) -> None:
        self.end(WorkerState.FAILED, problem.detail)
        self.failure = problem

    def halt(self, doing: str) -> None:
        """There is no worker, and none is due."""
        self.end(WorkerState.RESTARTING, doing)
        self.report_due = None

    def hold_up(self, problem: Problem) -> None:
        """No worker can start for now; it is tried again."""
        self.halt(problem.detail)
        self.outage = problem

    def recover(self) -> None:
        """What made the service fail has been answered."""
        self.failure = None
        self.halt("a worker is started again")

    @property
    def overdue_s(self) -> float:
        """How long ago a report of the worker was due, seconds."""
        return 0.0 if self.report_due is None else max(0.0, time.monotonic() - self.report_due)

    @property
    def silent(self) -> bool:
        """No sign of work for longer than the worker may be silent."""
        return self.overdue_s > self.patience_s

    @property
    def step(self) -> int:
        if self.status is not None:
            return self.status.step
        return self.durable.step if self.durable else 0

    @property
    def records(self) -> dict[str, int]:
        if self.status is not None:
            return self.status.records
        return self.durable.records if self.durable else {}

    @property
    def partitions(self) -> list[PartitionStatus]:
        if self.status is not None:
            return self.status.partitions
        return self.durable.partitions if self.durable else []

    @property
    def degraded(self) -> Problem | None:
        """What keeps training from going on: the worker's word, or an outage that the service itself met."""
        if self.status is not None:
            return self.status.degraded
        return self.outage or (self.greeting.degraded if self.greeting is not None else None)

    @property
    def problems(self) -> list[Problem]:
        """Everything that a person should know, the gravest first."""
        own = [problem for problem in (self.failure, self.outage) if problem is not None]
        warnings = [] if self.expiry is None else [self.expiry]
        if self.status is not None:
            return own + self.status.problems + warnings
        greeted = [] if self.greeting is None else [self.greeting.degraded, self.greeting.warning]
        return own + [problem for problem in greeted if problem is not None] + warnings

    def rates(self) -> Rates:
        if len(self._marks) < 2 or self.status is None:
            return Rates(0.0, 0.0)
        (start, step, trained), now = self._marks[0], time.monotonic()
        elapsed_s = now - start
        newest = self.status
        return Rates(
            max(0, newest.records.get("trained", 0) - trained) / elapsed_s, max(0, newest.step - step) / elapsed_s
        )
