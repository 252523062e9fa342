"""Asks twice a second where the log ends and what retention leaves of it."""

import asyncio
import time
from collections.abc import Callable

import structlog

from service.lag import Lag, Watermarks
from service.retention import Headrooms, RetentionGuard
from service.worker_view import WorkerView
from streaming.settings import Settings

LOOK_S = 0.5
_log = structlog.get_logger()


class LogEnds:
    """watch: starts something that knows where the log ends, on a thread; retention: something that knows what the
    topic will lose."""

    def __init__(
        self,
        settings: Settings,
        view: WorkerView,
        lag: Lag,
        watch: Callable[[Settings], Watermarks],
        retention: Callable[[Settings], Headrooms],
    ) -> None:
        self._settings = settings
        self._view = view
        self._lag = lag
        self._watch = watch
        self._retention = retention
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look())
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        watermarks = await asyncio.to_thread(self._watch, self._settings)
        headrooms = await asyncio.to_thread(self._retention, self._settings)
        retention = RetentionGuard(self._view, self._lag, headrooms)
        while True:
            self._lag.look(watermarks, time.monotonic())
            retention.tick()
            await asyncio.sleep(LOOK_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody looks at the log any more: what is known of it grows old, and says so."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("log_end_watch_failed", exc_info=error)
            self._lag.error = f"nobody looks at the topic any more, restart the service: {error!r}"
