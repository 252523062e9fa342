"""Puts the newest valid checkpoint into the parts of a worker that has just begun."""

from typing import NamedTuple

import structlog

from streaming.book import Book
from streaming.checkpoints.manifest import EvaluationFile, Manifest
from streaming.checkpoints.saver import Saver
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.checkpoints.weights import read_weights
from streaming.decided import Decided
from streaming.errors import CheckpointDamaged, CheckpointError, CheckpointMismatch
from streaming.learning import Learning
from streaming.live import Live
from streaming.new_run import HELD, changed, held_to
from streaming.settings import Settings
from streaming.training.evaluation import EvaluationSet

_log = structlog.get_logger()


class Restored(NamedTuple):
    """manifest: None when there is no checkpoint at all; passed_over: newer ones that are damaged."""

    manifest: Manifest | None
    passed_over: list[str]


def restore(
    settings: Settings,
    store: CheckpointStore,
    learning: Learning,
    book: Book,
    decided: Decided,
    saver: Saver,
    live: Live,
) -> Restored:
    """Raises CheckpointError, and UserCodeError for a learning rate that the optimizer doesn't take."""
    manifest, passed_over = store.newest_valid()
    for damaged in passed_over:
        _log.error("checkpoint_damaged", checkpoint=damaged)
        _keep(store, damaged)
    if manifest is None:
        live.begin()
        return Restored(None, passed_over)
    state = manifest.trainer_state
    for name, (before, now) in changed(state.get("new_run", {}), settings).items():
        ignored = name in HELD
        _log.warning("setting_needs_new_run", setting=name, before=before, now=now, ignored=ignored)
    try:
        learning.trainer.load(read_weights(store.path(manifest.id) / MODEL_FILE))
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f"checkpoint {manifest.id}: {error}") from error
    live.settings = held_to(state.get("new_run", {}), settings)
    live.restored(manifest)
    book.open(store.ledger(manifest.id), state.get("breaker"))
    book.newest_event_time_s = state["newest_event_time_s"]
    decided.restore(manifest.decisions)
    learning.step, learning.loss = manifest.step, state["loss"]
    labels = learning.trainer.labels
    kept = None if manifest.evaluation is None else _evaluation(settings, store, manifest.evaluation, labels)
    if manifest.evaluation is not None and kept is not None and kept.number == manifest.evaluation.set:
        saver.restored(manifest.evaluation, len(kept))
    learning.scoring.restore(state["scoring"], kept)
    _log.info("restored", checkpoint=manifest.id, step=manifest.step, positions=dict(manifest.positions))
    return Restored(manifest, passed_over)


def _keep(store: CheckpointStore, damaged: str) -> None:
    """Pin the evidence: to the retention of a later process, which didn't hash it, it looks as good as any."""
    try:
        store.set_pinned(damaged, pinned=True)
    except CheckpointError as error:
        _log.warning("damaged_checkpoint_not_pinned", checkpoint=damaged, detail=str(error))


def _evaluation(settings: Settings, store: CheckpointStore, named: EvaluationFile, labels: bool) -> EvaluationSet:
    """The set that a checkpoint names, or an empty one with the next number: scores need it, training doesn't."""
    size, anew = settings.evaluation.size, EvaluationSet(named.set + 1, settings.evaluation.size)
    try:
        kept = EvaluationSet.load(named.set, size, store.read_evaluation(named.file, named.sha256))
    except CheckpointDamaged as error:
        _log.error("evaluation_set_damaged", detail=str(error))
        return anew
    if not kept.fits(settings.pipeline.image_size, settings.model.classes, labels=labels):
        _log.warning("evaluation_set_begun_anew", detail="its image size, or its classes, aren't the model's any more")
        return anew
    return kept
