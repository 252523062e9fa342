"""Decisions on their way: on the disk first, then to a worker that runs."""

import asyncio
import time
from collections.abc import Callable

import structlog

from service.folder import ServiceFolder
from streaming.control.decisions import Decision, Quarantine
from streaming.control.messages import Decide, Quarantined
from streaming.errors import CheckpointError

_log = structlog.get_logger()


class Deciding:
    """tell: sends to the worker, if there is one."""

    def __init__(self, folder: ServiceFolder, tell: Callable[[Decide], object]) -> None:
        self._folder = folder
        self._tell = tell
        self._under_way: set[asyncio.Task[None]] = set()

    async def decide(self, decision: Decision) -> None:
        """Durable when this returns, and told. Raises CheckpointError."""
        await self._folder.ours()
        await self._folder.decisions.add(decision)
        self._tell(Decide(decision=decision))

    def quarantine(self, found: Quarantined, done: Callable[[], None]) -> None:
        """Soon; a write that fails leaves the record to be found again, and `done` is not called."""
        task = asyncio.create_task(self._quarantine(found, done))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Every quarantine asked for so far is durable, or given up."""
        await asyncio.gather(*self._under_way)

    async def _quarantine(self, found: Quarantined, done: Callable[[], None]) -> None:
        decision = Quarantine(
            at=time.time(),
            topic_id=found.topic_id,
            partition=found.partition,
            offset=found.offset,
            detail=found.detail,
        )
        try:
            await self.decide(decision)
            done()
        except CheckpointError as error:
            _log.error("decision_not_written", **decision.model_dump() | {"error": str(error)})
