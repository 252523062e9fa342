"""The worker's loop: obey, settle, train or wait, save, score, report. Model and ledger change only on this thread."""

import math
import threading
import time

import structlog

from streaming.book import Book
from streaming.checkpoints.archive import has_archive
from streaming.control.channel import Channel
from streaming.control.messages import Change, Decide, Drain, Finished, Park, Pause, Resume, Save, Shutdown, WorkerState
from streaming.decided import Decided
from streaming.errors import CheckpointError, TrainingStopped
from streaming.feed import RoundEnded, RoundFailed
from streaming.kafka.watch import View, Watch
from streaming.learning import Learning
from streaming.ledger.ledger import Ledger
from streaming.live import Live
from streaming.reading import Reading
from streaming.records.batch import Batch
from streaming.records.breaker import BadRecord
from streaming.report import Report
from streaming.saving import Saving
from streaming.settings import Settings

REST_S = 0.5
TAKE_S = 0.1
BUSY_S = 2.0  # so long after a step the state still is `training`
SCORING_S = 120.0
FIRST_STEP_S = 600.0
LETTERS_AHEAD = 1000  # bad records that may wait for their letters
QUARANTINED = "crashes_decoder"  # the reason of a record that its decoding process doesn't survive

_log = structlog.get_logger()


class Worker:
    """wake: set by whoever has news for a resting loop. bounded: leave once everything asked for is settled."""

    def __init__(
        self,
        settings: Settings,
        channel: Channel,
        watch: Watch,
        book: Book,
        decided: Decided,
        reading: Reading,
        learning: Learning,
        saving: Saving,
        live: Live,
        report: Report,
        wake: threading.Event,
        bounded: bool,
        paused: bool,
    ) -> None:
        self._settings = settings
        self._channel = channel
        self._watch = watch
        self._book = book
        self._decided = decided
        self._reading = reading
        self._learning = learning
        self._saving = saving
        self._live = live
        self._report = report
        self._wake = wake
        self._bounded = bounded
        self._paused = paused
        self._letters_ahead = 1 if settings.pipeline.deterministic else LETTERS_AHEAD
        self._leave_by: float | None = None
        self._parking = False
        self._drain: Drain | None = None

    def run(self) -> bool:
        """Until shutdown, or until parked: True only then. Raises TrainingStopped when going on would do harm."""
        self._channel.obeyed = True
        while True:
            self._obey()
            if self._leave_by is not None:
                break
            if not self._book.is_open:
                self._open_book()
            else:
                self._go_on()
            self.tick()
        if self._book.is_open:
            self._leave(self._leave_by)
        self._obey()  # a Shutdown may have come meanwhile
        return self._parking

    def let_go(self) -> None:
        """Nothing is under way any more; a read that blocks ends when it can, and nobody hears of it."""
        self._channel.obeyed = False
        if self._reading.active:
            self._reading.drop()
        self._book.close()
        self._watch.stop()

    def tick(self) -> None:
        """Report, if it is time to."""
        self._report.tick(self.state, self._saving)

    @property
    def state(self) -> WorkerState:
        if self._leave_by is not None or self._drain is not None:
            return WorkerState.DRAINING
        if self._paused:
            return WorkerState.PAUSED
        busy = self._reading.active and time.monotonic() - self._learning.trained_at < BUSY_S
        return WorkerState.TRAINING if busy else WorkerState.WAITING

    def _obey(self) -> None:
        for command in self._channel.commands():
            match command:
                case Pause():
                    self._paused = self._drain is None
                case Resume():
                    self._paused = False
                case Save():
                    self._saving.request(command)
                case Decide(decision=decision):
                    self._decided.add(decision)
                case Change():
                    self._live.change(command, self._learning.step)
                case Drain():
                    self._begin_to_drain(command)
                case Park(deadline_s=deadline_s):
                    self._leave_by, self._parking = time.monotonic() + deadline_s, True
                case Shutdown(deadline_s=deadline_s):
                    self._leave_by, self._parking = time.monotonic() + deadline_s, False

    def _begin_to_drain(self, command: Drain) -> None:
        """Where it matters where batches end, what is read is dropped: a last, short one would not be the same."""
        if not self._book.is_open or self._settings.pipeline.deterministic:
            self._leave_by = time.monotonic() + command.deadline_s
            return
        self._drain, self._paused = command, False
        self._reading.stop()

    def _go_on(self) -> None:
        self._settle()
        if self._decided.waiting:
            self._take_in_decisions()
        self._saving.tick()
        stuck = self._book.pending >= self._letters_ahead  # nothing moves on while letters can't be written
        if self._paused or stuck or self._decided.waiting or self._saving.overdue:
            if not self._decided.waiting:  # one may be the answer to what would be found
                self._reading.look()
            self._rest(TAKE_S if self._book.pending else REST_S)
        else:
            self._advance()
        self._score()

    def _take_in_decisions(self) -> None:
        """With nothing under way, so that no offset is settled twice: what was only read will be read again."""
        if self._reading.active:
            self._reading.drop()
        while self._decided.waiting and not self._reading.proving and not self._book.pending:
            effect = self._decided.take_in(self._book.ledger)
            if effect.owed is not None:
                place, detail = effect.owed[:2], effect.owed.detail
                self._book.quarantine(BadRecord(*place, QUARANTINED, detail))
                continue
            if effect.breaker:
                self._book.reset_breaker()
            if effect.ledger is not None:
                _log.warning("topic_adopted", topic_id=effect.ledger.generation.topic_id)
                self._book.open(effect.ledger)
                self._reading.adopt()
                self._saving.adopt()
            _log.info("decision_taken_in", number=self._decided.taken)

    def _advance(self) -> None:
        """One batch, or the end of a round, or the beginning of one, or a rest."""
        if not self._reading.active:
            if self._drain is not None:
                self._leave_by = time.monotonic() + self._drain.deadline_s
                return
            if self._finish() or not self._reading.begin():
                self._rest()
            return
        match self._reading.take(TAKE_S):
            case Batch() as batch:
                if not self._learning.warm:
                    self._report.allow(WorkerState.TRAINING, FIRST_STEP_S, "the first step, which may compile")
                self._learning.train(batch)
                self._reading.finished_with(batch)
            case RoundEnded() | RoundFailed():
                self._settle()
                self._reading.end()

    def _settle(self) -> None:
        for held in self._reading.settle():
            self._learning.hold_out(held)
        self._book.acknowledge()

    def _rest(self, seconds: float = REST_S) -> None:
        self._watch.set_level(not self._paused)
        self._wake.wait(seconds)
        self._wake.clear()

    def _open_book(self) -> None:
        """A new training: fix the origins, and save them with the initial weights before the first read."""
        view = self._watch.view
        if view.facts is None or not view.origins:
            self._rest()
            return
        self._refuse_to_forget(view)
        self._decided.begin()
        ledger = Ledger(view.facts.generation)
        for partition, origin in view.origins.items():
            ledger.open_partition(partition, origin)
        self._book.open(ledger)
        _log.info("training_begins", topic=ledger.generation.topic, origins=dict(view.origins))
        self._saving.initial(self.tick)

    def _refuse_to_forget(self, view: View) -> None:
        """Never begin silently from scratch: the consumer group may know this training though the folder is empty.

        `penstock new-run` has emptied it where there is an archive.
        """
        known = next(
            (text for text in view.group_texts.values() if text.startswith(f"penstock:{self._settings.name}:")), None
        )
        fresh = self._settings.checkpoint.allow_fresh or has_archive(self._settings.checkpoint_directory)
        if known is not None and not fresh:
            raise TrainingStopped(
                "checkpoints-missing",
                f"consumer group {self._settings.group_id} remembers {known}, but there is no checkpoint in "
                f"{self._settings.checkpoint_directory}: mount the right folder, or set checkpoint.allow_fresh",
            )

    def _score(self) -> None:
        if self._learning.scoring.due(self._learning.step):
            self._report.allow(
                self.state, max(SCORING_S, float(len(self._learning.scoring.set))), "scoring the hold-out set"
            )
            self._learning.scoring.evaluate(self._learning.step)

    def _finish(self) -> bool:
        """A bounded run that is over takes its last checkpoint, says so, and waits to be sent home."""
        if not self._bounded or not self._reading.finished:
            return False
        checkpoint_id = self._saving.final(math.inf, self.tick)
        if checkpoint_id is None:
            raise CheckpointError(f"the last checkpoint can't be written: {self._saving.error}")
        self._channel.send(Finished(checkpoint_id=checkpoint_id))
        self._paused = True
        return True

    def _leave(self, by: float) -> None:
        """The final checkpoint, if it fits; without it nothing is lost, only repeated."""
        if self._saving.final(by, self.tick) is None:
            _log.warning("left_without_checkpoint", detail=self._saving.error or "the grace time is over")
