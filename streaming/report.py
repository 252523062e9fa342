"""Status frames: what the worker is doing, sent by its own loop, so that a frame proves that the loop turns."""

import time
from typing import Any, Protocol

import structlog

from streaming.book import Book
from streaming.control.channel import Channel
from streaming.control.messages import Allowance, PartitionStatus, Problem, Status, WorkerState
from streaming.decided import Decided
from streaming.kafka.dead_letters import DeadLetters
from streaming.kafka.held_back import HeldBack
from streaming.kafka.watch import Watch
from streaming.learning import Learning
from streaming.ledger.ledger import Kind
from streaming.live import Live
from streaming.losses import Losses
from streaming.metrics import Tally
from streaming.reading import Reading

AFTER_STEP_S = 0.05
IDLE_S = 1.0
HARMLESS = frozenset({"data-lost", "checkpoint-damaged", "mirror-failing", "transaction-open"})  # nothing is stopped

_log = structlog.get_logger()


class SavingStatus(Protocol):
    """What a report needs of the checkpoints. checkpointed: partition -> durable position; error: of the last save;
    damaged: which checkpoints were passed over at the start, as a sentence; overdue: training waits for a save."""

    checkpointed: dict[int, int]
    error: str | None
    damaged: str | None

    @property
    def overdue(self) -> bool: ...


class Report:
    """Belongs to the main thread. device, reader: as the status names them."""

    def __init__(
        self,
        channel: Channel,
        tally: Tally,
        book: Book,
        watch: Watch,
        letters: DeadLetters,
        learning: Learning,
        reading: Reading,
        decided: Decided,
        live: Live,
        *,
        device: str,
        reader: str,
    ) -> None:
        self._channel = channel
        self._tally = tally
        self._book = book
        self._watch = watch
        self._letters = letters
        self._learning = learning
        self._reading = reading
        self._live = live
        self._losses = Losses(decided)
        self._held_back = HeldBack(time.monotonic)
        self._device = device
        self._reader = reader
        self._sent_at = 0.0
        self._sent_step = -1
        self._sent_state: WorkerState | None = None
        self._since: dict[str, float] = {}

    def allow(self, state: WorkerState, seconds: float, doing: str) -> None:
        """Announce silence."""
        self._channel.send(Allowance(state=state, seconds=seconds, doing=doing))

    def tick(self, state: WorkerState, saving: SavingStatus) -> None:
        """Send a frame if one is due: after a step, on a change of state, or when a second has passed."""
        now = time.monotonic()
        news = self._learning.step != self._sent_step or state is not self._sent_state
        if now - self._sent_at < (AFTER_STEP_S if news else IDLE_S):
            return
        self._sent_at, self._sent_step, self._sent_state = now, self._learning.step, state
        self._channel.send(self._status(state, saving))

    def _status(self, state: WorkerState, saving: SavingStatus) -> Status:
        problems = self._problems(saving)
        outside = next((problem for problem in problems if problem.type not in HARMLESS), None)
        learning, book = self._learning, self._book
        return Status(
            state=state,
            step=learning.step,
            loss=learning.loss,
            learning_rate=learning.trainer.learning_rate,
            rate_from=self._live.rate_from,
            device=self._device,
            reader=self._reader,
            degraded=outside,
            problems=problems,
            records={kind.value: count for kind, count in book.ledger.counts().items()} if book.is_open else {},
            partitions=self._partitions(saving) if book.is_open else [],
            scores=learning.scoring.scores(),
            newest_event_time_s=book.newest_event_time_s,
            counters=self._tally.counters(),
            observations=self._tally.take_observations(),
        )

    def _partitions(self, saving: SavingStatus) -> list[PartitionStatus]:
        ledger = self._book.ledger
        return [
            PartitionStatus(
                topic=ledger.generation.topic,
                partition=partition,
                origin=ledger.origin(partition),
                position=ledger.position(partition),
                fetched=self._reading.fetched(partition),
                trained=ledger.count(partition, Kind.TRAINED),
                checkpointed=saving.checkpointed.get(partition, ledger.origin(partition)),
            )
            for partition in ledger.partitions()
        ]

    def _problems(self, saving: SavingStatus) -> list[Problem]:
        """Everything that is wrong now, the most telling first; `since` is when it was first seen."""
        loss = self._losses.of(self._book.ledger) if self._book.is_open else None
        view = self._watch.view
        held = self._held_back.look(view.log_ends, view.high_watermarks)
        failing = f"{saving.error}; training waits for a save that works" if saving.overdue else saving.error
        found = {
            "kafka-unavailable": view.error,
            "dead-letters-blocked": self._letters.error,
            "reading-failed": self._reading.error,
            "checkpoint-failing": failing,
            "checkpoint-damaged": saving.damaged,
            "mirror-failing": self._watch.mirror_error(),
            "transaction-open": held and held.sentence,
        }
        facts: dict[str, dict[str, Any]] = {} if held is None else {"transaction-open": {"partitions": held.partitions}}
        if loss is not None and loss.records:
            found["data-lost"] = f"retention removed {loss.records} records before they were trained"
            before = {str(partition): offset for partition, offset in loss.before.items()}
            facts["data-lost"] = {"topic_id": self._book.ledger.generation.topic_id, "before": before}
        told = {type_: detail for type_, detail in found.items() if detail}
        self._announce(told)
        self._since = {type_: self._since.get(type_, time.time()) for type_ in told}
        return [
            Problem(type=type_, detail=detail, since=self._since[type_], facts=facts.get(type_, {}))
            for type_, detail in told.items()
        ]

    def _announce(self, found: dict[str, str]) -> None:
        """One event when a problem comes, and one when it has gone."""
        for type_ in found.keys() - self._since.keys():
            _log.warning("problem", problem=type_, detail=found[type_])
        for type_ in self._since.keys() - found.keys():
            _log.info("problem_over", problem=type_, seconds=round(time.time() - self._since[type_], 1))
