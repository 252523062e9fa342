"""What operators have decided, and which of it the ledger has taken in. Pure.

Decisions outlive a rollback: a checkpoint's manifest says how many of them its ledger knows, and the rest is taken in
by whoever restores it, in their order, each once.
"""

from collections.abc import Iterable
from typing import NamedTuple

from streaming.control.decisions import (
    AcceptLoss,
    AcceptTruncation,
    AdoptTopic,
    Decision,
    Exclude,
    Quarantine,
    ResetBreaker,
    Skip,
)
from streaming.ledger.intervals import from_intervals
from streaming.ledger.ledger import Generation, Kind, Ledger

ANY_CLUSTER = ""  # of an adopted topic whose cluster nobody has asked yet


class Owed(NamedTuple):
    """A quarantined record that isn't dead-lettered yet."""

    partition: int
    offset: int
    detail: str


class Effect(NamedTuple):
    """What taking a decision in asks of others. ledger: another one, which replaces the present one; breaker: count
    anew; owed: a letter first, and then the same decision again."""

    ledger: Ledger | None = None
    breaker: bool = False
    owed: Owed | None = None


class Decided:
    """Every decision there is, the oldest first. taken: how many of them the ledger has taken in."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._all = list(decisions)
        self.taken = 0

    def add(self, decision: Decision) -> None:
        self._all.append(decision)

    @property
    def waiting(self) -> bool:
        """Some of them aren't in the ledger yet."""
        return self.taken < len(self._all)

    def restore(self, taken: int) -> None:
        """The ledger is a checkpoint's, whose manifest says how many it has taken in."""
        self.taken = min(taken, len(self._all))

    def begin(self) -> None:
        """A training begins without a checkpoint: with the topic there is, so nothing is left to adopt."""
        adopted = (number for number, decision in enumerate(self._all, 1) if isinstance(decision, AdoptTopic))
        self.taken = max(adopted, default=0)

    def take_in(self, ledger: Ledger) -> Effect:
        """Apply the next one that waits; with `Effect.owed` it goes on waiting.

        Nothing may be under way between reading and ledger: what is would be settled a second time.
        """
        decision = self._all[self.taken]
        moot = isinstance(decision, Quarantine) and self._cut_off(decision)
        effect = Effect() if moot else _apply(decision, ledger)
        if effect.owed is None:
            self.taken += 1
        return effect

    def ahead(self, ledger: Ledger) -> Ledger:
        """A ledger as it will be once everything that waits is taken in; the one given stays as it is."""
        return caught_up(ledger.copy(), self._all, self.taken)

    def _cut_off(self, found: Quarantine) -> bool:
        """Afterwards the log was cut below it, or another topic took its place: the record is no more, and its letter
        would wait for ever."""
        for later in self._all[self.taken + 1 :]:
            if isinstance(later, AdoptTopic) and later.topic_id != found.topic_id:
                return True
            if isinstance(later, AcceptTruncation) and later.topic_id == found.topic_id:
                end = later.ends.get(found.partition)
                if end is not None and end <= found.offset:
                    return True
        return False

    def losses(self, topic_id: str) -> dict[int, int]:
        """Partition -> offset below which retention's losses are accepted; a rollback changes nothing about that."""
        accepted: dict[int, int] = {}
        for decision in self._all:
            if isinstance(decision, AcceptLoss) and decision.topic_id == topic_id:
                for partition, before in decision.before.items():
                    accepted[partition] = max(before, accepted.get(partition, 0))
        return accepted


def _apply(decision: Decision, ledger: Ledger) -> Effect:
    """Decisions about another life of the topic change nothing."""
    topic_id = ledger.generation.topic_id
    match decision:
        case AdoptTopic() if decision.topic_id != topic_id:
            # Without partitions: each is opened at offset 0 as soon as the broker names it.
            return Effect(ledger=Ledger(Generation(ANY_CLUSTER, ledger.generation.topic, decision.topic_id)))
        case ResetBreaker():
            return Effect(breaker=True)
        case Exclude() if decision.topic_id == topic_id:
            _know(ledger, decision.partition)
            ledger.record_range(decision.partition, Kind.EXCLUDED, decision.start, decision.stop)
        case Skip() if decision.topic_id == topic_id:
            for partition, pairs in decision.offsets.items():
                _know(ledger, partition)
                offsets = from_intervals(pairs)
                owed = ledger.unsettled(partition, offsets.min(), offsets.max() + 1) & offsets if offsets else offsets
                ledger.record(partition, Kind.EXCLUDED, owed)
        case AcceptTruncation() if decision.topic_id == topic_id:
            for partition, end in decision.ends.items():
                if partition in ledger.partitions():
                    ledger.truncate(partition, end)
        case Quarantine() if decision.topic_id == topic_id:
            if is_owed(ledger, decision.partition, decision.offset):
                return Effect(owed=Owed(decision.partition, decision.offset, decision.detail))
    return Effect()


def caught_up(ledger: Ledger, decisions: Iterable[Decision], taken: int) -> Ledger:
    """A ledger that has taken in so many of the decisions, with the rest of them; the one given may be changed.

    Quarantined records stay owed: whoever has no letters to write leaves them to those who have.
    """
    decided = Decided(decisions)
    decided.restore(taken)
    while decided.waiting:
        effect = decided.take_in(ledger)
        ledger = effect.ledger or ledger
        if effect.owed is not None:
            decided.taken += 1
    return ledger


def is_owed(ledger: Ledger, partition: int, offset: int) -> bool:
    """The offset isn't settled, and its turn will come."""
    _know(ledger, partition)
    return bool(ledger.unsettled(partition, offset, offset + 1))


def _know(ledger: Ledger, partition: int) -> None:
    """A partition that appeared after the beginning is owed from offset 0."""
    if partition not in ledger.partitions():
        ledger.open_partition(partition, 0)


def same_life(trained: Generation, found: Generation) -> bool:
    """The ledger is about the topic that the broker has."""
    if trained.cluster_id == ANY_CLUSTER:
        return (trained.topic, trained.topic_id) == (found.topic, found.topic_id)
    return trained == found
