"""Rounds, one after another: planned from the ledger, read, settled; and what to do when one fails."""

import os
import random
import sys
import time
from collections.abc import Iterator

import structlog

from streaming.book import Book, batch_range_ids
from streaming.feed import Feed, Item, RoundEnded, RoundFailed
from streaming.kafka.tails import Tail
from streaming.kafka.watch import Watch
from streaming.ledger.in_order import OrderedPlanner
from streaming.ledger.planner import Planner
from streaming.metrics import Tally
from streaming.records.batch import Batch
from streaming.round import Absent, Held, HoldOut, Plan, Round
from streaming.settings import Settings
from streaming.topic_guard import TopicGuard

BACKOFF_S = (1.0, 30.0)
FIRST_RANGE_RECORDS = 32
STUCK = 75  # exit code: a read doesn't come back though the broker answers; a restart is the only way out

_log = structlog.get_logger()


class Reading:
    """Belongs to the main thread.

    until: a bounded run's ends, partition -> first offset not wanted; None to follow the log.
    """

    def __init__(
        self,
        settings: Settings,
        book: Book,
        watch: Watch,
        feed: Feed,
        tally: Tally,
        guard: TopicGuard,
        until: dict[int, int] | None,
    ) -> None:
        self._settings = settings
        self._book = book
        self._watch = watch
        self._feed = feed
        self._tally = tally
        self._guard = guard
        self._until = until
        self._asked = 0  # the watch must have looked at the topic since the last round ended
        self._round: Round | None = None
        self._rng = random.Random(settings.pipeline.seed)  # noqa: S311  # drawing ranges is no secret
        self._rounds = 0
        self._fetched: dict[int, int] = {}
        self._proving = 0
        self._unproven = 0, 0  # bad records at the end of a round that saw no good one, and what was settled then
        self._waited_s = 0.0
        self.mean_bytes = 0.0
        self._failures = 0
        self._retry_at = 0.0
        self.error: str | None = None

    @property
    def active(self) -> bool:
        """A round is running."""
        return self._round is not None

    @property
    def proving(self) -> bool:
        """Missing tails are being looked for, and will be settled."""
        return self._proving > 0

    @property
    def finished(self) -> bool:
        """A bounded run has settled everything that it was to settle."""
        if self._until is None or self.active or self._book.pending:
            return False
        ledger = self._book.ledger
        known = set(ledger.partitions())
        return all(stop == 0 or (p in known and ledger.position(p) >= stop) for p, stop in self._until.items())

    def fetched(self, partition: int) -> int:
        """The offset behind the highest one read."""
        read = {} if self._round is None else self._round.fetched
        self._fetched[partition] = max(
            self._fetched.get(partition, 0), read.get(partition, 0), self._book.ledger.position(partition)
        )
        return self._fetched[partition]

    def begin(self) -> bool:
        """Begin a round; False when there is nothing to read, or no way to. Raises TrainingStopped."""
        view = self._watch.view
        if view.facts is None:
            return False
        self._guard.look(view)  # whatever else is waited for may never come because of what this finds
        if view.error is not None or time.monotonic() < self._retry_at:
            return False
        if view.answered < self._asked:
            return False
        if self._book.pending or self._proving:  # on its way to be settled, and must not be read again meanwhile
            return False
        self._guard.take_stock(view)
        planner = self._plan()
        unproven, settled = self._unproven  # they are read again together with more
        if planner.available(self._ends()) <= (unproven if settled == self._settled else 0):
            self.error = None
            return False
        self._rounds += 1
        self._waited_s = 0.0
        self._round = Round(
            planner,
            self._ends,
            HoldOut(self._settings.evaluation.fraction, self._settings.pipeline.seed),
            range_records=self._settings.kafka.range_records,
            linger_s=self._settings.pipeline.linger_s,
            bounded=self._until is not None,
            patient=self._settings.pipeline.deterministic,
            clock=time.monotonic,
        )
        self._feed.begin(self._round)
        return True

    def _plan(self) -> Plan:
        kafka, pipeline, first_id = self._settings.kafka, self._settings.pipeline, self._rounds << 32
        if pipeline.deterministic:
            return OrderedPlanner(self._book.ledger, first_id=first_id)
        planner = Planner(
            self._book.ledger,
            range_records=kafka.range_records,
            range_bytes=kafka.range_bytes,
            backlog_window=pipeline.backlog_window,
            rng=self._rng,
            first_id=first_id,
        )
        # Records of unknown size may be large: the first ranges are small.
        planner.note_size(self.mean_bytes or kafka.range_bytes / FIRST_RANGE_RECORDS)
        return planner

    def take(self, timeout_s: float) -> Item | None:
        """The next batch, or how the round ended: settle and `end` it then. None when nothing came in time.

        The round is dropped when a broker can't show who it is: the reader may not see that.
        """
        assert self._round is not None, "no round is running"
        if self._watch.view.untrusted:
            self.drop()
            return None
        self._guard.look(self._watch.view)
        self._make_way_for_new_partitions(self._round)
        began = time.monotonic()
        item = self._feed.take(timeout_s)
        waited_s = time.monotonic() - began
        self._tally.add("data_wait_seconds_total", waited_s)
        self._watch.set_level(self._round.level)
        match item:
            case RoundFailed(detail=detail):
                self._back_off(detail)
            case RoundEnded():
                self._failures, self.error = 0, None
            case None:
                self._exit_if_stuck(self._round, waited_s)
        return item

    def finished_with(self, batch: Batch) -> None:
        """Every record of the batch has left the pipeline, trained or rejected."""
        assert self._round is not None, "no round is running"
        self._round.settled(batch_range_ids(batch))
        self._failures, self.error, self._waited_s = 0, None, 0.0

    def settle(self) -> Iterator[Held]:
        """Book what ranges and proofs have shown; yields held-out records, whose fate is the caller's."""
        if self._round is not None:
            yield from self._settle_findings(self._round)
        for tail, found in self._watch.proofs():
            self._proving -= 1
            if found is None:
                self._book.absent_tail(tail)
            else:
                self._read_again(tail, found)

    def end(self) -> None:
        """Retire the round, whether it has drained or failed; its findings must have been settled."""
        self._retire()
        if self._until is not None and not self._failures:
            self._book.release()
            return
        dropped = self._book.drop_unproven()
        self._unproven = (0 if self._failures else dropped), self._settled

    def stop(self) -> None:
        """Hand nothing more to the pipeline; the round ends once what is read has been taken."""
        if self._round is not None:
            self._round.stop()

    def drop(self) -> None:
        """Abandon the round: what it has read and isn't settled will be read again, unless it has been decided on."""
        self._retire()
        self._book.drop_unproven()
        self._unproven = 0, 0

    def look(self) -> None:
        """While nothing is read: is it the same log as ever? Raises TrainingStopped."""
        self._guard.look(self._watch.view)

    def adopt(self) -> None:
        """The topic is another one."""
        self._fetched = {}

    @property
    def _settled(self) -> int:
        return sum(self._book.ledger.counts().values())

    def _retire(self) -> None:
        assert self._round is not None
        self.mean_bytes = self._round.mean_bytes or self.mean_bytes
        self._feed.retire()
        self._round = None
        self._asked = self._watch.ask()

    def _settle_findings(self, current: Round) -> Iterator[Held]:
        records, size_bytes = current.take_fetched()
        self._tally.add("records_fetched_total", records)
        self._tally.add("bytes_fetched_total", size_bytes)
        if records:
            self._waited_s = 0.0
        for finding in current.findings():
            self._waited_s = 0.0  # a long stretch of holes gives no batch, and is progress all the same
            match finding:
                case Absent(partition=partition, offsets=offsets):
                    self._book.absent(partition, offsets)
                case Tail():
                    self._watch.prove(finding)
                    self._proving += 1
                case Held():
                    yield finding

    def _read_again(self, tail: Tail, found: int) -> None:
        """A range ended early: end the round, and the next one reads the rest."""
        _log.warning("range_incomplete", partition=tail.partition, start=tail.start, stop=tail.stop, found=found)
        self.stop()

    def _ends(self) -> dict[int, int]:
        """Where reading stops for now: last stable offsets, or a bounded run's ends."""
        ends = self._watch.view.log_ends
        if self._until is None:
            return dict(ends)
        return {partition: min(stop, ends.get(partition, 0)) for partition, stop in self._until.items()}

    def _back_off(self, detail: str) -> None:
        self._failures += 1
        self.error = detail
        pause_s = min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** (self._failures - 1))
        self._retry_at = time.monotonic() + pause_s
        _log.warning("round_failed", detail=detail, retry_in_s=pause_s)

    def _make_way_for_new_partitions(self, current: Round) -> None:
        """Only a new round reads them, and with a steady backlog the present one would not end by itself."""
        facts = self._watch.view.facts
        if facts is not None and not set(facts.partitions) <= set(self._book.ledger.partitions()):
            current.stop()

    def _exit_if_stuck(self, current: Round, waited_s: float) -> None:
        """A read, a parser or a preprocessing that never comes back can't be interrupted, only left behind."""
        away = self._watch.view.error is not None
        self._waited_s = 0.0 if away or not current.busy else self._waited_s + waited_s
        if self._waited_s > self._settings.pipeline.linger_s + self._settings.service.stall_s:
            _log.error("reading_stuck", seconds=round(self._waited_s))
            sys.stdout.flush()
            os._exit(STUCK)
