"""The work of a verify operation: every file of a checkpoint is hashed."""

import asyncio

from service.operation import CheckpointRequest, Operation, VerifyResult
from service.shelf import Shelf

KIND = "verify"


class Verification:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def __call__(self, operation: Operation) -> VerifyResult:
        """Raises CheckpointDamaged naming the file that isn't what was written; the list shows either outcome."""
        wanted = operation.request
        assert isinstance(wanted, CheckpointRequest)
        await asyncio.to_thread(self._shelf.verify, wanted.checkpoint_id)
        return VerifyResult()
