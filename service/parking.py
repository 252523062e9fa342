"""Where a worker process waits between two of its lives, with its device and its model."""

import asyncio

from service.worker_link import WorkerLink


class Parking:
    """Room for one."""

    def __init__(self) -> None:
        self._link: WorkerLink | None = None
        self._changed = asyncio.Event()

    def keep(self, link: WorkerLink) -> None:
        link.listen(lambda _: None, self._changed.set)
        self._link = link

    async def take(self) -> WorkerLink | None:
        """The one that waits; one that has ended meanwhile is reaped."""
        if self._link is None or (self._link.exit_code is None and not self._link.closed):
            link, self._link = self._link, None
            return link
        await self.release()
        return None

    async def release(self) -> None:
        """End the one that waits: nothing of it is under way. Returns once it is reaped."""
        link, self._link = self._link, None
        if link is None:
            return
        link.kill()
        while link.exit_code is None:
            self._changed.clear()
            await self._changed.wait()
        link.close()
