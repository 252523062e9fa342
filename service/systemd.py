"""Tells systemd how the service is: ready, alive, stopping. Source: sd_notify(3)."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from sdnotify import SystemdNotifier

from service import health
from service.worker_view import WorkerView

TICK_S = 1.0


@contextlib.asynccontextmanager
async def told_to_systemd(view: WorkerView) -> AsyncIterator[None]:
    """While the block runs, READY=1 when /startupz would answer 200, WATCHDOG=1 each second while /livez would, and the
    state as STATUS; then STOPPING=1. Nothing where no systemd asks (NOTIFY_SOCKET)."""
    if not os.environ.get("NOTIFY_SOCKET"):
        yield
        return
    notifier = SystemdNotifier()
    telling = asyncio.create_task(_tell(view, notifier))
    try:
        yield
    finally:
        telling.cancel()
        notifier.notify("STOPPING=1")


async def _tell(view: WorkerView, notifier: SystemdNotifier) -> None:
    ready = False
    while True:
        lines = [f"STATUS={view.state}" + (f": {view.doing}" if view.doing else "")]
        if all(check.ok for check in health.live(view)):
            lines.append("WATCHDOG=1")
        if not ready and all(check.ok for check in health.started(view)):
            ready = True
            lines.append("READY=1")
        notifier.notify("\n".join(lines))
        await asyncio.sleep(TICK_S)
