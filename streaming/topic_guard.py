"""Compares what the broker says of the topic with the ledger: another topic, a shorter log, losses, new partitions.

Whatever makes the ledger's offsets mean other records stops the training, with the facts that an answer needs.
"""

import time

import structlog

from streaming.book import Book
from streaming.decided import Decided, same_life
from streaming.errors import TrainingStopped
from streaming.kafka.watch import View
from streaming.ledger.ledger import Generation, Ledger
from streaming.truncation import Cut, Truncation

_log = structlog.get_logger()


class TopicGuard:
    """Belongs to the main thread. stop_on_loss: kafka.on_data_loss = stop."""

    def __init__(self, book: Book, decided: Decided, *, stop_on_loss: bool) -> None:
        self._book = book
        self._decided = decided
        self._stop_on_loss = stop_on_loss
        self._truncation = Truncation(time.monotonic)

    def look(self, view: View) -> None:
        """Is it the same log as ever? Cheap enough for every batch. Raises TrainingStopped."""
        if view.facts is None:
            return
        ledger = self._book.ledger
        _refuse_another(ledger.generation, view.facts.generation)
        ledger.generation = view.facts.generation
        cuts = self._truncation.look(ledger, view.high_watermarks)
        if cuts:
            raise _truncated(ledger.generation, cuts)

    def take_stock(self, view: View) -> None:
        """Between two rounds: also open new partitions, and book what retention has removed. Raises TrainingStopped."""
        self.look(view)
        ledger, facts = self._book.ledger, view.facts
        assert facts is not None
        for partition in sorted(set(facts.partitions) - set(ledger.partitions())):
            ledger.open_partition(partition, 0)
            _log.info("partition_added", partition=partition)
        accepted = self._decided.losses(ledger.generation.topic_id)
        beyond = {p: s for p, s in view.log_starts.items() if s > max(ledger.position(p), accepted.get(p, 0))}
        if beyond and self._stop_on_loss:
            raise _overtaken(ledger, beyond)
        for partition, start in view.log_starts.items():
            if start > ledger.position(partition):
                self._book.lost_before(partition, start)


def _refuse_another(trained: Generation, found: Generation) -> None:
    if found.topic != trained.topic:
        raise TrainingStopped(
            "topic-changed",
            f"this training learned from topic {trained.topic}, kafka.topic is now {found.topic}: "
            "give the new training a name of its own",
        )
    if not same_life(trained, found):
        raise TrainingStopped(
            "topic-recreated",
            f"topic {found.topic} has id {found.topic_id}, the one trained from had "
            f"{trained.topic_id}: its offsets are other records; use another name, or another topic",
            {"topic_id": found.topic_id},
        )


def _overtaken(ledger: Ledger, starts: dict[int, int]) -> TrainingStopped:
    """All partitions at once: one answer, and one start of a worker, settles them."""
    told = "; ".join(
        f"partition {p} up to {start}, its position is {ledger.position(p)}" for p, start in starts.items()
    )
    return TrainingStopped(
        "data-lost",
        f"retention removed {told}; kafka.on_data_loss = continue books the rest as lost and goes on",
        {"topic_id": ledger.generation.topic_id, "before": {str(p): start for p, start in starts.items()}},
    )


def _truncated(generation: Generation, cuts: dict[int, Cut]) -> TrainingStopped:
    told = "; ".join(f"partition {p} ends at {cut.end}, and was read up to {cut.highest}" for p, cut in cuts.items())
    return TrainingStopped(
        "log-truncated",
        f"topic {generation.topic} has been cut short: {told}; at these offsets there will be other records",
        {"topic_id": generation.topic_id, "ends": {str(partition): cut.end for partition, cut in cuts.items()}},
    )
