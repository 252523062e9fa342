"""Checkpoints as people keep them: labelled, pinned, or thrown away."""

import asyncio
from collections.abc import Awaitable, Callable

from service.shelf import CheckpointGone, Shelf
from streaming.checkpoints.retention import CheckpointInfo
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointNeeded


class Curator:
    """ours: waits until the directory is this service's to change, and raises the CheckpointError if it never is."""

    def __init__(self, store: CheckpointStore, shelf: Shelf, ours: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._shelf = shelf
        self._ours = ours

    async def note(self, identifier: str, changes: dict[str, str | bool | None]) -> CheckpointInfo:
        """Change `label` or `pinned`, or both; durable when this returns. Raises CheckpointGone, CheckpointError."""
        await self._ours()
        return await asyncio.to_thread(self._note, identifier, changes)

    async def delete(self, identifier: str) -> None:
        """Raises CheckpointNeeded for a pinned one and for the one that a restart would restore, CheckpointError."""
        await self._ours()
        await asyncio.to_thread(self._delete, identifier)

    def _note(self, identifier: str, changes: dict[str, str | bool | None]) -> CheckpointInfo:
        self._there(identifier)
        self._store.annotate(identifier, **changes)
        return self._there(identifier)

    def _delete(self, identifier: str) -> None:
        if self._there(identifier).pinned:
            raise CheckpointNeeded(f"checkpoint {identifier} is pinned; unpin it first")
        self._store.delete(identifier)

    def _there(self, identifier: str) -> CheckpointInfo:
        info = self._shelf.find(identifier)
        if info is None:
            raise CheckpointGone(f"there is no checkpoint {identifier}; GET /v1/checkpoints lists them")
        return info
