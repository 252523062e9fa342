"""When to score, and on what: every n-th batch before it is trained, and the hold-out set at intervals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
import tensorflow as tf

from streaming.control.messages import Score
from streaming.crash_slot import Noting
from streaming.records.batch import Batch
from streaming.records.breaker import BadRecord
from streaming.records.decode import Decoded, Decoder
from streaming.records.original import opened
from streaming.round import Held
from streaming.settings import EvaluationSettings
from streaming.training.evaluation import EvaluationSet, Prequential, Scored, as_scores
from streaming.training.trainer import Trainer

_log = structlog.get_logger()


class Scoring:
    """Belongs to the main thread."""

    def __init__(
        self,
        trainer: Trainer,
        decoder: Decoder,
        noting: Noting,
        settings: EvaluationSettings,
        batch_size: int,
        clock: Callable[[], float],
    ) -> None:
        self._trainer = trainer
        self._decoder = decoder
        self._noting = noting
        self._settings = settings
        self._batch_size = batch_size
        self._clock = clock
        self._batches = 0
        self._scored_at = clock()
        self._scored_step = 0
        self._cached: tuple[int, tf.data.Dataset] | None = None
        self._holdout_scores: list[Score] = []
        self.prequential = Prequential()
        self.set = EvaluationSet(1, settings.size)

    def before_training(self, batch: Batch) -> Scored | None:
        """Every n-th batch: test, then train. What the test gave; None for the others."""
        every, scored = self._settings.every_batches, None
        if every and self._batches % every == 0:
            scored = self._trainer.score(batch.images, batch.targets)
            self.prequential.add(scored, len(batch.offset))
        self._batches += 1
        return scored

    def hold_out(self, held: Held) -> tuple[list[int], list[BadRecord]]:
        """Decode held-out records, once; returns the offsets of good ones, and the bad ones."""
        good, bad = [], []
        for offset, value, key, timestamp_ms, envelope in zip(*held.records, strict=True):
            with self._noting(np.array([held.partition]), np.array([offset])):
                decoded = self._decoder(value, key)
            if isinstance(decoded, Decoded):
                good.append(int(offset))
                self.set.add(decoded.image, decoded.target)
            else:
                original = opened(envelope, value, key, int(timestamp_ms))
                bad.append(BadRecord(held.partition, int(offset), decoded.reason, decoded.detail, original))
        return good, bad

    def due(self, step: int) -> bool:
        """A hold-out evaluation should run now."""
        waited = self._clock() - self._scored_at >= self._settings.interval_s
        return bool(len(self.set)) and step > self._scored_step and waited

    def evaluate(self, step: int) -> None:
        """Score the whole set with the present weights."""
        loss, confusion = 0.0, None
        for images, targets in self._dataset():
            scored = self._trainer.score(images, targets)
            loss += scored.loss * int(images.shape[0])
            if scored.confusion is not None:
                confusion = scored.confusion if confusion is None else confusion + scored.confusion
        self._holdout_scores = as_scores(str(self.set.number), loss / len(self.set), confusion)
        self._scored_at, self._scored_step = self._clock(), step
        _log.info("evaluated", set=self.set.number, records=len(self.set), step=step, **self._summary())

    def scores(self) -> list[Score]:
        return self.prequential.scores() + self._holdout_scores

    def state(self) -> dict[str, Any]:
        """JSON values; with the set itself, which the checkpoint stores apart, `restore` goes on where this was."""
        return {"batches": self._batches, "prequential": self.prequential.state()}

    def restore(self, state: dict[str, Any] | None, kept: EvaluationSet | None) -> None:
        """state: None for a model that nobody has scored."""
        if state is not None:
            self._batches = state["batches"]
            self.prequential.restore(state["prequential"])
        if kept is not None:
            self.set = kept

    def _dataset(self) -> tf.data.Dataset:
        """The set is decoded once and its batches stay in memory (`cache`); a set that has grown is cached anew."""
        if self._cached is None or self._cached[0] != len(self.set):
            dataset = tf.data.Dataset.from_tensor_slices(self.set.arrays()).batch(self._batch_size).cache()
            self._cached = len(self.set), dataset
        return self._cached[1]

    def _summary(self) -> dict[str, float]:
        return {score.name: round(score.value, 4) for score in self._holdout_scores if not score.class_}
