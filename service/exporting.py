"""The work of an export operation: a checkpoint's model as a SavedModel that TensorFlow Serving takes up."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from service.attempts import count_attempt
from service.errands import Errands
from service.exports import Exports
from service.folder import ServiceFolder
from service.operation import CheckpointRequest, ExportResult, Operation
from service.operations import Operations
from service.problem_details import details
from service.shelf import Shelf
from service.work_desk import Refused
from service.workroom import workroom
from streaming.checkpoints.manifest import Manifest
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.control.errands import Export
from streaming.settings import Settings

KIND = "export"


class Exporting:
    """Training goes on meanwhile. An operation that was cut short finds what it made by the number it noted."""

    def __init__(
        self,
        settings: Settings,
        store: CheckpointStore,
        shelf: Shelf,
        folder: ServiceFolder,
        operations: Operations,
        errands: Errands,
        exports: Exports,
    ) -> None:
        self._settings = settings
        self._store = store
        self._shelf = shelf
        self._folder = folder
        self._operations = operations
        self._errands = errands
        self._exports = exports

    async def __call__(self, operation: Operation) -> ExportResult:
        """Raises Refused, CheckpointError."""
        wanted = operation.request
        assert isinstance(wanted, CheckpointRequest)
        number = self._operations.progress(operation).number
        if number is not None and (made := await self._disk(self._exports.made_by, operation.id, number)):
            return ExportResult(number=number, directory=str(made))
        await count_attempt(self._operations, operation)
        await asyncio.to_thread(self._shelf.verify, wanted.checkpoint_id)
        manifest = await asyncio.to_thread(self._store.manifest, wanted.checkpoint_id)
        async with workroom(self._folder.path / KIND, self._store.path(manifest.id)) as room:
            number = await self._disk(self._exports.begin, time.time())
            progress = self._operations.progress(operation)
            await self._operations.note(operation, progress.model_copy(update={"number": number}))
            temporary = self._exports.temporary(number)
            await self._errands.run(Export(weights=str(room / MODEL_FILE), directory=str(temporary)))
            made = await self._disk(self._exports.commit, number, self._told(operation, manifest))
        return ExportResult(number=number, directory=str(made))

    async def _disk(self, call: Callable[..., Any], *arguments: object) -> Any:
        """On a thread. Raises Refused when the export's folder can't be used."""
        try:
            return await asyncio.to_thread(call, *arguments)
        except (OSError, ValueError) as error:
            text = f"export.directory: {error}"
            raise Refused(details(HTTPStatus.SERVICE_UNAVAILABLE, "export-failed", text)) from error

    def _told(self, operation: Operation, manifest: Manifest) -> dict[str, Any]:
        """What goes with the model. position: first offset that isn't settled in it."""
        settings = self._settings
        return {
            "name": settings.name,
            "checkpoint_id": manifest.id,
            "step": manifest.step,
            "checkpoint_created_at": manifest.created_at,
            "topic": manifest.generation.topic,
            "topic_id": manifest.generation.topic_id,
            "positions": {str(partition): position for partition, position in manifest.positions.items()},
            "records": {str(kind): count for kind, count in manifest.records.items()},
            "scores": [score.model_dump() for score in manifest.scores],
            "model": settings.model.build,
            "model_signature": manifest.model_signature,
            "classes": settings.model.classes,
            "image_size": settings.pipeline.image_size,
            "exported_at": time.time(),
            "operation": operation.id,
        }
