"""A batch becomes a step: scored, trained, booked; and what to do with one that would poison the model."""

import math
import time

import structlog

from streaming.book import Book, bad_records
from streaming.metrics import Tally
from streaming.records.batch import Batch
from streaming.records.breaker import BadRecord
from streaming.round import Held
from streaming.scoring import Scoring
from streaming.showing import Showing
from streaming.training.trainer import Trainer

_log = structlog.get_logger()


class Learning:
    """Owns step count and loss; belongs to the main thread. step: training steps in the present weights."""

    def __init__(
        self, trainer: Trainer, scoring: Scoring, showing: Showing, book: Book, tally: Tally, batch_size: int
    ) -> None:
        self.trainer = trainer
        self.scoring = scoring
        self._showing = showing
        self._book = book
        self._tally = tally
        self._batch_size = batch_size
        self.step = 0
        self.loss: float | None = None
        self.trained_at = -math.inf

    @property
    def warm(self) -> bool:
        """This process has taken a step."""
        return self.trained_at > -math.inf

    def train(self, batch: Batch) -> None:
        """Take the step, then book the records. Raises TrainingStopped when too many records are bad."""
        rejected, good = bad_records(batch.rejected), len(batch.offset)
        if len(batch.offset):
            scored = self.scoring.before_training(batch)
            if scored is not None:
                self._showing.show(batch, scored, self.step)
            began = time.monotonic()
            result = self.trainer.step(batch.images, batch.targets)
            if result.applied:
                self._stepped(batch, result.loss)
            else:
                guilty = self._train_singly(batch)
                rejected, good = rejected + guilty, good - len(guilty)
            self.trained_at = time.monotonic()
            self._tally.observe("step_duration_seconds", self.trained_at - began)
            self._tally.observe("batch_fill_ratio", len(batch.offset) / self._batch_size)
        self._book.rejected(rejected, good)

    def hold_out(self, held: Held) -> None:
        """Records that are never trained: decoded, booked, and kept for the evaluation set."""
        good, bad = self.scoring.hold_out(held)
        self._book.held_out(held.partition, good)
        self._book.rejected(bad, len(good))

    def _stepped(self, batch: Batch, loss: float) -> None:
        self.step += 1
        self.loss = loss
        self._tally.add("steps_total")
        self._book.trained(batch.partition, batch.offset, batch.event_time_ms)

    def _train_singly(self, batch: Batch) -> list[BadRecord]:
        """A batch that would make the model non-finite: train its records one by one, return the guilty."""
        guilty = []
        for row in range(len(batch.offset)):
            one = Batch._make([*(column[row : row + 1] for column in batch[:-1]), batch.rejected])
            result = self.trainer.step(one.images, one.targets)
            if result.applied:
                self._stepped(one, result.loss)
            else:
                place = int(batch.partition[row]), int(batch.offset[row])
                guilty.append(BadRecord(*place, "non_finite", "its training step gives values that are not finite"))
        _log.warning("batch_not_finite", records=len(batch.offset), guilty=len(guilty))
        return guilty
