"""One worker from its start until it is reaped, and why it ended."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import structlog

from service.worker_link import WorkerLink
from service.worker_view import WorkerView
from streaming.control.messages import (
    Allowance,
    Committed,
    Configure,
    Failed,
    Finished,
    Greeting,
    Park,
    Parked,
    Problem,
    Shutdown,
    Status,
    ToSidecar,
    ToWorker,
    WorkerState,
)

FAREWELL_S = 5.0
LAST_LOOK_S = 0.1
CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_log = structlog.get_logger()


class Reason(StrEnum):
    """Why a worker ended, as the metric's label and the log have it."""

    NOT_STARTED = "not_started"
    EXITED = "exited"
    KILLED = "killed"
    STALLED = "stalled"
    PROTOCOL = "protocol"
    HALTED = "halted"
    PARKED = "parked"


class Ending(NamedTuple):
    """detail: one clause for people, such as `exit code 3`. failed: the worker's own reason not to try again.

    crashed: the signal of a native crash, such as SIGSEGV. parked: the process that waits for another configuration.
    """

    reason: Reason
    detail: str
    failed: Problem | None
    finished: bool
    crashed: str | None = None
    parked: WorkerLink | None = None


class WorkerListener(Protocol):
    """Told what happens to workers, on the event loop's thread; must not block. Subclasses override what they need."""

    def worker_started(self) -> None:
        return

    def worker_said(self, message: ToSidecar) -> None:
        return

    def worker_gone(self, ending: Ending) -> None:
        return

    def training_stopped(self) -> None:
        return


class WorkerLife:
    """Runs one worker: feeds the view and the listeners, kills it when it is silent for too long.

    link: to one that hasn't been started, or that was parked.
    """

    def __init__(self, link: WorkerLink, view: WorkerView, listeners: Sequence[WorkerListener], grace_s: float) -> None:
        self._view = view
        self._listeners = listeners
        self._grace_s = grace_s
        self._changed = asyncio.Event()
        self._link = link
        self._leave_by: float | None = None
        self._failed: Problem | None = None
        self._finished = False
        self._parked = False
        self._stalled_s: float | None = None

    async def run(self, configuration: Callable[[], Configure]) -> Ending:
        """From start to reaped, or parked. Raises nothing that the worker could cause.

        configuration: asked for once the worker can hear, so that nothing said to it before then is missed.
        """
        self._link.listen(self._said, self._changed.set)
        kept = self._link.pid
        try:
            pid = kept or await self._link.start()
        except OSError as error:
            return Ending(Reason.NOT_STARTED, f"it could not be started: {error.strerror}", None, False)
        configure = configuration()
        _log.info("worker_started", pid=pid, epoch=configure.epoch, kept=kept is not None)
        self._view.begin(pid, configure.epoch)
        self._link.send(configure)
        if self._leave_by is not None:  # asked to leave while it was being started
            self.shut_down()
        for listener in self._listeners:
            listener.worker_started()
        await self._watch()
        if self._parked:
            return Ending(Reason.PARKED, "it waits for another configuration", None, False, parked=self._link)
        words = self._link.last_words()
        await self._hear_last_words()
        ending = self._ending()
        crash = {} if ending.crashed is None else {"last_words": words}
        _log.info("worker_exited", pid=pid, reason=ending.reason, detail=ending.detail, **crash)
        return ending

    def send(self, message: ToWorker) -> bool:
        return self._link.send(message)

    def shut_down(self) -> None:
        """Ask it to finish within the grace time; it is killed when that is over."""
        self._end_with(Shutdown(deadline_s=self._deadline_s), "the worker is shutting down")

    def park(self) -> None:
        """As `shut_down`, but the process stays, if it obeys."""
        self._end_with(Park(deadline_s=self._deadline_s), "the worker lets go of its work")

    def kill(self) -> None:
        self._link.kill()

    @property
    def _deadline_s(self) -> float:
        """For the worker, which is killed a little later."""
        return self._grace_s - min(2.0, 0.2 * self._grace_s)

    def _end_with(self, message: ToWorker, doing: str) -> None:
        self._link.send(message)
        self._view.state, self._view.doing = WorkerState.DRAINING, doing
        self._leave_within(self._grace_s)

    async def _watch(self) -> None:
        """Until the process has ended and is reaped, or is parked."""
        while self._link.exit_code is None and not self._parked:
            if self._link.closed:
                self._leave_within(FAREWELL_S)
            if self._leave_by is not None and time.monotonic() > self._leave_by:
                self._link.kill()
            elif self._leave_by is None and self._view.silent and await self._still_silent():
                self._stall()
            self._changed.clear()
            await self._until_changed(self._nap_s())

    async def _still_silent(self) -> bool:
        """Whether nothing has been said, once what has arrived is read, too.

        After a pause of this process itself (SIGSTOP) epoll reports a timeout and no frames (PEP 475), so that the
        watch wakes before they are read.
        """
        await asyncio.sleep(LAST_LOOK_S)
        return self._leave_by is None and self._view.silent

    def _nap_s(self) -> float:
        """Until the next look."""
        left_s = self._view.patience_s - self._view.overdue_s
        if self._leave_by is not None:
            left_s = self._leave_by - time.monotonic()
        return min(1.0, max(0.02, left_s))

    async def _until_changed(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _stall(self) -> None:
        if self._stalled_s is None:
            self._stalled_s = self._view.overdue_s
            _log.warning("worker_stalled", silent_s=round(self._stalled_s, 1), doing=self._view.doing)
        self._view.state, self._view.doing = WorkerState.RESTARTING, "the worker was silent for too long"
        self._link.kill()

    async def _hear_last_words(self) -> None:
        """What it sent before it ended may still be on its way; the channel's end comes after it."""
        deadline = time.monotonic() + 1.0
        while not self._link.closed and time.monotonic() < deadline:
            self._changed.clear()
            await self._until_changed(0.1)
        self._link.close()

    def _leave_within(self, seconds: float) -> None:
        leave_by = time.monotonic() + seconds
        if self._leave_by is None or leave_by < self._leave_by:  # else the watch, which calls this, would never sleep
            self._leave_by = leave_by
            self._changed.set()

    def _said(self, message: ToSidecar) -> None:
        leaving = self._leave_by is not None
        match message:
            case Greeting():
                self._view.greet(message)
            case Status():
                self._view.report(message)
            case Allowance():
                self._view.allow(message)
            case Committed():
                self._view.commit(message)
            case Failed(problem=problem):
                self._failed = problem
                self._leave_within(FAREWELL_S)
            case Parked():
                self._parked = True
                self._changed.set()
            case Finished(checkpoint_id=identifier):
                _log.info("bounded_run_finished", checkpoint_id=identifier)
                self._finished = True
                self.shut_down()
        if leaving:
            self._view.state = WorkerState.DRAINING
        for listener in self._listeners:
            listener.worker_said(message)

    def _ending(self) -> Ending:
        code = self._link.exit_code
        assert code is not None
        how = f"exit code {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        if self._failed is not None:
            return Ending(Reason.EXITED, self._failed.detail, self._failed, False)
        if self._link.fault is not None:
            return Ending(Reason.PROTOCOL, self._link.fault, None, False)
        if self._stalled_s is not None:
            return Ending(Reason.STALLED, f"killed after {self._stalled_s:.0f} s without a step", None, False)
        crashed = _signal_name(-code) if -code in CRASHES else None
        return Ending(Reason.EXITED if code >= 0 else Reason.KILLED, how, None, self._finished, crashed)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
