"""The work of an adapt operation: back to a checkpoint, with its model made to fit one that has been changed since."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from service.errands import Errands
from service.folder import ServiceFolder
from service.head import Head, Rewrite
from service.operation import AdaptRequest, AdaptResult, Operation, RestoreRequest
from service.rollback import Rollback
from service.shelf import Shelf
from service.workroom import workroom
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.control.errands import Adapt, Adapted
from streaming.settings import Settings
from streaming.settings_tree import settings_digest

KIND = "adapt"
FILE = "adapted.safetensors"
_log = structlog.get_logger()


class Adapting:
    """A process of its own builds the changed model, as the worker's may hold the former one; the worker begins with a
    new process then, too."""

    def __init__(
        self,
        settings: Settings,
        store: CheckpointStore,
        shelf: Shelf,
        folder: ServiceFolder,
        head: Head,
        rollback: Rollback,
        errands: Errands,
    ) -> None:
        self._settings = settings
        self._store = store
        self._shelf = shelf
        self._folder = folder
        self._head = head
        self._rollback = rollback
        self._errands = errands

    async def __call__(self, operation: Operation) -> AdaptResult:
        """Raises Refused, CheckpointError."""
        wanted = operation.request
        assert isinstance(wanted, AdaptRequest)
        done: list[tuple[Adapted, Path]] = []  # by the first `prepare`, which a checkpoint made before spares
        async with self._rollback.kept(operation, wanted.checkpoint_id), AsyncExitStack() as stack:

            async def prepare() -> Rewrite:
                if not done:
                    done.append(await self._adapted(wanted, stack))
                return await self._prepare(wanted, *done[0])

            why = f"adapting checkpoint {wanted.checkpoint_id} to the changed model"
            made = await self._head.rewrite(operation, why, prepare, keep=False)
        names = done[0][0].fresh if wanted.dry_run else None
        return AdaptResult(checkpoint_id=made.checkpoint_id, names=names, **made.counts)

    async def _adapted(self, wanted: AdaptRequest, stack: AsyncExitStack) -> tuple[Adapted, Path]:
        """What becomes of the variables; and the file that holds them, until the stack ends, unless only told."""
        await asyncio.to_thread(self._shelf.verify, wanted.checkpoint_id)
        source = self._store.path(wanted.checkpoint_id)
        room = await stack.enter_async_context(workroom(self._folder.path / KIND, source))
        errand = Adapt(
            weights=str(room / MODEL_FILE),
            file=None if wanted.dry_run else str(room / FILE),
            init=wanted.init,
            reset_optimizer=wanted.reset_optimizer,
        )
        answer = await self._errands.run(errand)
        assert isinstance(answer, Adapted)
        _log.info("model_adapted", checkpoint=wanted.checkpoint_id, fresh=answer.fresh, kept=answer.kept)
        return answer, room / FILE

    async def _prepare(self, wanted: AdaptRequest, adapted: Adapted, file: Path) -> Rewrite:
        """As a restore, but for the model; scores and loss were those of another one."""
        counts = {"fresh": len(adapted.fresh), "kept": adapted.kept}
        if wanted.dry_run:
            return Rewrite(wanted.checkpoint_id, "adapt", counts=counts, idle=True)
        back = RestoreRequest(checkpoint_id=wanted.checkpoint_id, records="retrain", accept_loss=wanted.accept_loss)
        rewrite = await self._rollback.prepare(back)
        manifest = await asyncio.to_thread(self._store.manifest, wanted.checkpoint_id)
        state = manifest.trainer_state
        anew = {"loss": None, "scoring": None, "new_run": state.get("new_run", {}) | adapted.new_run}
        fields = {
            "settings_digest": settings_digest(self._settings),
            "model_signature": adapted.signature,
            "scores": [],
            "trainer_state": state | anew,
        }
        return rewrite._replace(
            cause="adapt", counts=counts, fields={**rewrite.fields, **fields}, files={MODEL_FILE: file}
        )
