"""Keeps a worker running: starts it, starts it again with a back-off, and knows when to give up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from service.deciding import Deciding
from service.folder import RETRY_S, ServiceFolder
from service.parking import Parking
from service.restarts import RestartBudget, WorkerFailed
from service.worker_life import Ending, Reason, WorkerLife, WorkerListener
from service.worker_link import WorkerLink
from service.worker_view import WORKING, Desired, Durable, WorkerView
from streaming.control.decisions import Decision
from streaming.control.messages import (
    Committed,
    Configure,
    Drain,
    Pause,
    Problem,
    Quarantined,
    Resume,
    SaveFailed,
    ToSidecar,
    ToWorker,
    WorkerState,
)
from streaming.errors import CheckpointError, DirectoryUnavailable
from streaming.settings import ServiceSettings

_log = structlog.get_logger()


class Supervisor(WorkerListener):
    """One worker at a time, reaped or parked before the next. `run()` is its life; the rest may be called at any time.

    command: what starts a worker; `--channel-fd N` is added. configuration: the settings a worker is
    started with, and their sources.
    durable: reads the newest checkpoint (blocks; runs on a thread).
    """

    def __init__(
        self,
        command: Sequence[str],
        configuration: Callable[[], Mapping[str, Any]],
        settings: ServiceSettings,
        folder: ServiceFolder,
        view: WorkerView,
        durable: Callable[[], Durable | None],
    ) -> None:
        self._command = command
        self._configuration = configuration
        self._settings = settings
        self._folder = folder
        self._view = view
        self._durable = durable
        self._listeners: list[WorkerListener] = [self]
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._again = asyncio.Event()
        self._halted_for: str | None = None
        self._dismissed = False
        self._life: WorkerLife | None = None
        self._parking = Parking()
        self._crashed: str | None = None
        self._deciding = Deciding(folder, self.send)
        self._budget = RestartBudget(settings.restart_budget, settings.restart_backoff_s)

    def listen(self, listener: WorkerListener) -> None:
        self._listeners.append(listener)

    def restore_memory(self) -> None:
        """What an earlier service was told and lived through. Raises CheckpointError."""
        desired, restarts = self._folder.desired.read(), self._folder.restarts.read()
        self._folder.decisions.load()
        self._view.desired = Desired(desired["state"]) if desired else Desired.RUNNING
        self._budget.deaths = restarts["deaths"] if restarts else 0

    async def run(self, until: dict[int, int] | None = None) -> bool:
        """Until stopped, or a bounded run is finished: True only then. Raises WorkerFailed when it gives up.

        May be called again after that.
        """
        self._at_rest.clear()
        self._again.clear()
        try:
            finished = await self._lives(until)
        finally:
            self._at_rest.set()
            await self._parking.release()
        self._view.end(WorkerState.STOPPED, "the service was stopped")
        return finished

    def stop(self) -> None:
        """Finish within the grace time; called again: at once."""
        if self._stop.is_set():
            if self._life is not None:
                self._life.kill()
        elif self._life is not None:
            self._life.shut_down()
        self._stop.set()
        self._changed.set()

    @asynccontextmanager
    async def halted(self, why: str, *, keep: bool = True) -> AsyncIterator[None]:
        """No worker runs inside; afterwards one is started, also in a service that had failed.

        The worker that runs now gets the grace time for its final checkpoint; with `keep`, one that can keeps process,
        device and model for afterwards. One caller at a time. If the body raises, a service that had failed stays so.
        """
        assert self._halted_for is None
        self._halted_for = why
        self._changed.set()
        self._dismiss(keep=keep and self._view.state in WORKING)
        try:
            await self._at_rest.wait()
            yield
        finally:
            self._halted_for = None
            self._changed.set()
        self.start_again()

    def start_again(self) -> None:
        """What was wrong has been answered: a failed service tries again, with the whole budget of restarts."""
        self._budget.deaths = 0
        self._folder.restarts.write_soon(self._budget.dump)
        if self._view.failure is not None:
            self._view.recover()
            self._again.set()
            self._changed.set()

    async def wanted_again(self) -> bool:
        """After WorkerFailed: wait for `start_again`, or for the stop, which is False."""
        await self._wait_while(lambda: not (self._again.is_set() or self._stop.is_set()))
        return not self._stop.is_set()

    async def decide(self, decision: Decision) -> None:
        """Durable when this returns, and on its way to a worker that runs. Raises CheckpointError."""
        await self._deciding.decide(decision)

    def send(self, message: ToWorker) -> bool:
        return self._life is not None and self._life.send(message)

    async def set_desired(self, desired: Desired, drain: bool = False) -> None:
        """Run, pause or stop, now and after every restart; durable when this returns. Raises CheckpointError.

        drain: a worker that is stopped trains first what it has read.
        """
        await self._folder.ours()
        before, self._view.desired = self._view.desired, desired
        try:
            await self._folder.desired.write(lambda: {"state": self._view.desired})
        except CheckpointError:
            if self._view.desired is desired:
                self._view.desired = before
            raise
        self._changed.set()
        if desired is not Desired.STOPPED:
            self.send(Pause() if desired is Desired.PAUSED else Resume())
        elif drain:
            self._dismissed = True
            self.send(Drain(deadline_s=self._settings.grace_s))
        else:
            self._dismiss()

    def _dismiss(self, keep: bool = False) -> None:
        """The worker that runs is to leave, or to let go of its work, which is no failure of its."""
        self._dismissed = True
        if self._life is not None:
            (self._life.park if keep else self._life.shut_down)()

    async def _lives(self, until: dict[int, int] | None) -> bool:
        while not self._stop.is_set():
            if not self._wanted:
                await self._rest()
                continue
            epoch = await self._prepare()
            if epoch is None or not self._wanted:
                continue
            ending = await self._one_life(epoch, until)
            if self._halted_for is not None:
                continue
            if ending.finished:
                return True
            if ending.reason in (Reason.HALTED, Reason.PARKED) or self._stop.is_set():
                continue
            if ending.failed is not None:
                raise WorkerFailed(ending.failed)
            await self._before_restart(ending)
        return False

    async def _rest(self) -> None:
        """Without a worker, until one is wanted or the reason changes, or the service is stopped."""
        if (why := self._halted_for) is not None:
            self._view.halt(why)
        else:
            await self._parking.release()
            self._view.durable = await asyncio.to_thread(self._durable)
            if self._wanted or self._halted_for is not None:
                return
            self._view.end(WorkerState.STOPPED, "stopped on request; POST /v1/start goes on")
            _log.info("training_stopped", desired=self._view.desired)
            for listener in self._listeners:
                listener.training_stopped()
        self._at_rest.set()
        await self._wait_while(lambda: not self._wanted and self._halted_for == why and not self._stop.is_set())
        self._at_rest.clear()

    @property
    def _wanted(self) -> bool:
        """A worker is to run."""
        return not self._stop.is_set() and self._halted_for is None and self._view.desired is not Desired.STOPPED

    async def _wait_while(self, condition: Callable[[], bool], longest_s: float | None = None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                while condition():
                    self._changed.clear()
                    await self._changed.wait()

    async def _prepare(self) -> int | None:
        """What must be known and durable before a worker starts; its writer epoch. None: none is wanted any more.

        A disk that refuses is tried again until it is mended.
        """
        await self._deciding.settled()
        self._view.durable = await asyncio.to_thread(self._durable)
        while self._wanted:
            try:
                epoch = await asyncio.to_thread(self._folder.next_epoch)
            except DirectoryUnavailable as error:
                text = f"no worker can start, it is tried again: {error}"
                _log.error("checkpoint_failed", detail=text, retry_s=RETRY_S)
                self._view.hold_up(Problem(type="checkpoint-failing", detail=text, since=time.time()))
                await self._wait_while(lambda: self._wanted, RETRY_S)
            else:
                self._view.outage = None
                return epoch
        return None

    def _configure(self, epoch: int, until: dict[int, int] | None) -> Configure:
        return Configure(
            **self._configuration(),
            epoch=epoch,
            until=until,
            paused=self._view.desired is Desired.PAUSED,
            decisions=self._folder.decisions.all(),
            crashed=self._crashed,
        )

    async def _one_life(self, epoch: int, until: dict[int, int] | None) -> Ending:
        self._dismissed = False
        link = await self._parking.take() or WorkerLink(self._command)
        self._life = WorkerLife(link, self._view, self._listeners, self._settings.grace_s)
        try:
            ending = await self._life.run(lambda: self._configure(epoch, until))
        finally:
            self._life = None
        self._crashed = ending.crashed
        if ending.parked is not None:
            self._parking.keep(ending.parked)
        elif self._dismissed:
            ending = ending._replace(reason=Reason.HALTED)
        self._view.end(WorkerState.RESTARTING, f"the worker ended: {ending.detail}")
        self._view.durable = await asyncio.to_thread(self._durable)
        for listener in self._listeners:
            listener.worker_gone(ending)
        return ending

    async def _before_restart(self, ending: Ending) -> None:
        wait_s = self._budget.died()
        self._folder.restarts.write_soon(self._budget.dump)
        if wait_s is None:
            text = f"the worker died {self._budget.deaths} times without a new checkpoint, last with: {ending.detail}"
            raise WorkerFailed(Problem(type="restart-budget-exhausted", detail=text, since=time.time()))
        self._view.restarts += 1
        self._view.expect_report(time.monotonic() + wait_s)
        _log.warning("worker_restarting", reason=ending.reason, detail=ending.detail, wait_s=wait_s)
        await self._wait_while(lambda: self._wanted, wait_s)

    def worker_started(self) -> None:
        if not self._wanted:  # that was said before it could hear
            self._dismiss()

    def worker_said(self, message: ToSidecar) -> None:
        match message:
            case Committed():
                _log.info("checkpoint_committed", **message.model_dump(exclude={"kind", "positions", "request_ids"}))
                if self._budget.committed(message.cause):
                    self._folder.restarts.write_soon(self._budget.dump)
            case SaveFailed(detail=detail):
                _log.error("checkpoint_failed", detail=detail)
            case Quarantined():
                self._deciding.quarantine(message, self._budget.found_guilty)
