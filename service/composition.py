"""The sidecar's composition root: what it consists of, and its life from the lock to the exit code."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, disable_created_metrics

from service import kafka_watches
from service.app import Collaborators, create_app
from service.auth import Guard
from service.consequences import Prospects
from service.curation import Curator
from service.disk import FreeSpace
from service.door import Application
from service.errands import ERRAND, Errands
from service.folder import ServiceFolder
from service.gallery import Gallery
from service.journal import Journal
from service.lag import Lag, Watermarks
from service.live_settings import LiveSettings
from service.lock import DirectoryLock, DirectoryLocked
from service.log_ends import LogEnds
from service.metrics import Metrics
from service.operations import Operations
from service.progress import Ends, resolved, show_progress
from service.recorder import Recorder
from service.resolver import Resolver
from service.restarts import WorkerFailed
from service.retention import Headrooms
from service.save_desk import SaveDesk
from service.shelf import Shelf
from service.supervisor import Supervisor
from service.work_desk import WorkDesk
from service.worker_view import WorkerView
from service.works import build_works
from streaming import logs
from streaming.checkpoints.store import CheckpointStore
from streaming.control.messages import Problem
from streaming.errors import CheckpointError
from streaming.settings import Settings, revealed
from streaming.settings_sources import NOTHING_GIVEN, Origins

LEAST_WORK_S = 2.0  # for a restore, and then for state, to be written when the worker has used up the grace time
_log = structlog.get_logger()


class Service:
    """Everything but HTTP, which works with its `parts`. until: `now` or an ISO time, for a bounded run. origins: who
    gave which of the settings. set_level: changes the level of this process' log.

    watch: starts something that knows where the log ends, on a thread; retention: something that knows what the topic
    will lose. freeze: resolves `until`, on a thread. errand_command: starts the process of an errand. at_rest: once
    `run` is over, False if work was left on a thread that still uses the directory: then the lock is kept, and the
    process must end without waiting for it.
    """

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str],
        until: str | None,
        watch: Callable[[Settings], Watermarks],
        retention: Callable[[Settings], Headrooms],
        freeze: Callable[[Settings, str], Ends],
        lock_wait_s: float,
        errand_command: Sequence[str] = ERRAND,
        origins: Origins = NOTHING_GIVEN,
        set_level: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._until = until
        self._freeze = freeze
        self._stop = asyncio.Event()
        self._ends_by = 0.0
        self.at_rest = True
        store = CheckpointStore(settings.checkpoint_directory)
        shelf = Shelf(store)
        self._folder = ServiceFolder(store)
        self._lock = DirectoryLock(self._folder.path / "lock", lock_wait_s)
        self._lag = Lag()
        self.view = WorkerView(settings.service.stall_s)
        self._free_space = FreeSpace(settings.checkpoint_directory, self.view)
        self._log_ends = LogEnds(settings, self.view, self._lag, watch, retention)
        self._live = LiveSettings(
            settings,
            origins,
            self._folder.settings,
            self._folder.ours,
            lambda change: self._supervisor.send(change),
            set_level,
        )
        self._supervisor = Supervisor(
            command, self._live.configuration, settings.service, self._folder, self.view, shelf.durable
        )
        self._operations = Operations(self._folder.operations)
        self._desk = SaveDesk(self._operations, self.view, self._supervisor.send, self._folder.ours)
        prospects = Prospects(store, self._folder.decisions, self._lag)
        self._errands = Errands(errand_command, lambda: revealed(self._live.now), settings.export.timeout_s)
        works = build_works(
            settings,
            store,
            shelf,
            self._folder,
            self._supervisor,
            self._operations,
            prospects,
            self._lag,
            self.view,
            self._errands,
        )
        self._work = WorkDesk(self._operations, self._folder.ours, works.by_kind, works.aside)
        metrics = Metrics(CollectorRegistry(), self.view, self._lag)
        gallery, journal = Gallery(), Journal(self.view)
        self._recorder = Recorder(self.view, self._lag, self._operations, journal)
        for listener in (self._desk, metrics, gallery, journal, self._recorder):
            self._supervisor.listen(listener)
        self.parts = Collaborators(
            name=settings.name,
            version=version("penstock"),
            view=self.view,
            supervisor=self._supervisor,
            live=self._live,
            resolver=Resolver(self.view, self._supervisor),
            shelf=shelf,
            prospects=prospects,
            operations=self._operations,
            curator=Curator(store, shelf, self._folder.ours),
            edits=works.edits,
            new_run=works.new_run,
            desk=self._desk,
            work=self._work,
            metrics=metrics,
            lag=self._lag,
            recorder=self._recorder,
            gallery=gallery,
            guard=Guard(settings.service),
            settings=settings.service,
        )

    async def run(self) -> int:
        """Until stopped, finished or given up: the exit code."""
        self._log_ends.start()
        self._free_space.start()
        self._recorder.start()
        try:
            return await self._run()
        finally:
            self._errands.close()
            self.at_rest = await self._work.close(max(LEAST_WORK_S, self._ends_by - time.monotonic()))
            self._log_ends.stop()
            self._free_space.stop()
            self._recorder.stop()
            self._folder.settle(CheckpointError("the service has stopped"))  # HTTP answers a little longer
            await self._flush()
            if self.at_rest:
                self._lock.release()

    def stop(self) -> None:
        """End within the grace time; called again: at once."""
        if self._stop.is_set():
            self._work.hurry()
        else:
            self._ends_by = time.monotonic() + self._settings.service.grace_s
        self._stop.set()
        self._supervisor.stop()

    async def _flush(self) -> None:
        try:
            await asyncio.wait_for(self._folder.flush(), LEAST_WORK_S)
        except TimeoutError:
            _log.error("state_not_written", detail=f"{self._folder.path} took longer than {LEAST_WORK_S:.0f} s")
            self.at_rest = False

    async def _run(self) -> int:
        try:
            await self._unless_stopped(self._take_possession())
        except DirectoryLocked as error:
            self._folder.settle(CheckpointError(f"the directory isn't this service's: {error}"))
            return await self._give_up(Problem(type="directory-locked", detail=str(error), since=time.time()))
        except CheckpointError as error:
            return await self._give_up(Problem(type="checkpoint-storage", detail=str(error), since=time.time()))
        until = await self._unless_stopped(self._resolve_until(self._until)) if self._until else None
        if self._stop.is_set():
            return 0 if self._until is None else 1
        return await self._train(None if until is None else dict(until))

    async def _train(self, until: dict[int, int] | None) -> int:
        """Until stopped or finished: the exit code. What failed begins again when someone has answered it."""
        while True:
            try:
                finished = await self._supervised(until)
            except WorkerFailed as error:
                problem = error.problem
            except CheckpointError as error:
                problem = Problem(type="checkpoint-storage", detail=str(error), since=time.time())
            else:
                if until is not None and not finished:
                    _log.warning("bounded_run_stopped", detail="not everything up to the end asked for is settled")
                    return 1
                return 0
            self._fail(problem)
            if self._ends_when_failed:
                return 1
            if not await self._supervisor.wanted_again():
                return 0
            _log.info("service_begins_again", problem=problem.type)

    async def _take_possession(self) -> None:
        """The lock, then what an earlier service left behind."""
        self.view.doing = f"waiting for the lock on {self._settings.checkpoint_directory}"
        try:
            self._folder.create()
            await self._lock.acquire()
            self._live.load()
            self._supervisor.restore_memory()
            self._operations.load()
            self._recorder.journal.begin(self._operations.newest_first())
            await asyncio.to_thread(self._folder.archive.finish)  # of a service that was killed
            self._desk.take_up()
            self._work.take_up()
        except CheckpointError as error:
            self._folder.settle(error)
            raise
        self._folder.settle()

    async def _resolve_until(self, until: str) -> Ends:
        return await resolved(lambda: self._freeze(self._settings, until), self.view)

    async def _supervised(self, until: dict[int, int] | None) -> bool:
        """Whether a bounded run has settled everything."""
        progress = asyncio.create_task(show_progress(self.view, until)) if until is not None else None
        try:
            return await self._supervisor.run(until)
        finally:
            if progress is not None:
                progress.cancel()

    async def _give_up(self, problem: Problem) -> int:
        """Failed before anything could begin: end with 1, or stay up, so that someone can look."""
        self._fail(problem)
        if self._ends_when_failed:
            return 1
        await self._stop.wait()
        return 0

    def _fail(self, problem: Problem) -> None:
        _log.error("service_failed", problem=problem.type, detail=problem.detail)
        self.view.fail(problem)
        self._desk.give_up(problem.type, problem.detail)

    @property
    def _ends_when_failed(self) -> bool:
        return self._settings.service.on_failed == "exit" or self._until is not None

    async def _unless_stopped(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of `work`; None when the service is stopped first."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, stopping):
            if not task.done():
                task.cancel()
        return working.result() if working.done() else None


def build(
    settings: Settings, command: Sequence[str], until: str | None, lock_wait_s: float, origins: Origins
) -> tuple[Service, Application]:
    """The service as it runs in production, and its HTTP; logging included."""
    logs.configure(settings.service.log_level, "sidecar")
    disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series and tell nothing that process_start_time_seconds doesn't
    threading.excepthook = _log_thread_failure
    service = Service(
        settings,
        command,
        until,
        kafka_watches.watermarks,
        kafka_watches.headrooms,
        kafka_watches.frozen_ends,
        lock_wait_s,
        origins=origins,
        set_level=logs.set_level,
    )
    return service, create_app(service.parts)


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """What the thread did is known to be missing from then on: `Watch.error`."""
    name = failure.thread.name if failure.thread else "unknown"
    _log.error("thread_failed", thread=name, exc_info=failure.exc_value)
