"""What going back to a checkpoint means: what would be trained again, and what of that the topic has no more."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple

from pyroaring import BitMap64

from service.decisions import Decisions
from service.excision import OTHER_LIFE, Excision, excised, leave_out, refuse_what_is_still_to_come
from service.lag import Lag
from service.operation import Stretch
from service.problem_details import details
from service.work_desk import Refused
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import ResetBreaker
from streaming.decided import caught_up
from streaming.errors import CheckpointError
from streaming.ledger.intervals import within
from streaming.ledger.ledger import Kind, Ledger


class Consequence(NamedTuple):
    """For one partition: offsets that are settled now and wouldn't be, and those of them that the topic has no more.

    trained: how many of `again` are in the weights now. gone: None while nobody knows where the log begins.
    """

    topic: str
    partition: int
    position: int
    again: BitMap64
    trained: int
    gone: BitMap64 | None


def consequences(now: Ledger, then: Ledger, log_starts: Mapping[int, int] | None) -> list[Consequence]:
    """What a restore of `then` does to each partition of `now`. Pure.

    What is lost or absent already isn't gone anew. A ledger of another life of the topic has nothing of this one.
    """
    same = now.generation.topic_id == then.generation.topic_id
    found = []
    for partition in now.partitions():
        known = same and partition in then.partitions()
        origin, end = now.origin(partition), now.highest(partition)
        again = now.settled(partition) - then.settled(partition) if known else now.settled(partition)
        trained = again & now.of_kind(partition, Kind.TRAINED, origin, end)
        gone = None
        if log_starts is not None:
            unreadable = (now.of_kind(partition, kind, origin, end) for kind in (Kind.LOST, Kind.ABSENT))
            gone = within(again, 0, log_starts.get(partition, 0)).difference(*unreadable)
        position = then.position(partition) if known else origin
        found.append(Consequence(now.generation.topic, partition, position, again, len(trained), gone))
    return found


def gained(here: Ledger, there: Ledger) -> Ledger:
    """What is of another kind, or settled at all, `there` and not `here`, as a ledger. Pure."""
    found = Ledger(there.generation)
    same = here.generation.topic_id == there.generation.topic_id
    for partition in there.partitions():
        origin, end = there.origin(partition), there.highest(partition)
        found.open_partition(partition, origin)
        known = same and partition in here.partitions()
        for kind in Kind:
            offsets = there.of_kind(partition, kind, origin, end)
            old = here.of_kind(partition, kind, origin, max(origin, here.highest(partition))) if known else BitMap64()
            found.record(partition, kind, offsets - old)
    return found


def leaving_out(now: Ledger) -> Callable[[Ledger], Ledger]:
    """A change that excludes whatever is settled in `now` and not in the ledger given."""

    def change(ledger: Ledger) -> Ledger:
        for partition in now.partitions():
            if partition not in ledger.partitions():
                ledger.open_partition(partition, now.origin(partition))
            ledger.record(partition, Kind.EXCLUDED, now.settled(partition) - ledger.settled(partition))
        return ledger

    return change


class Prospect(NamedTuple):
    """A checkpoint against the newest one. now, then: their ledgers with every decision taken in that there is.

    newest, decisions: the newest one's id, and how many decisions it has itself taken in. same_life: of the topic.
    excisions: left out of `then`, which knows of them already.
    """

    newest: str
    decisions: int
    now: Ledger
    then: Ledger
    same_life: bool
    excisions: list[Excision]
    partitions: list[Consequence]

    @property
    def loss(self) -> str | None:
        """Why the offsets can't all be trained again; None if they can."""
        again = sum(len(each.again) for each in self.partitions)
        gone = [None if each.gone is None else len(each.gone) for each in self.partitions]
        if not again or not any(number is None or number for number in gone):
            return None
        if None in gone:
            text = "while Kafka is away nobody knows which of the records to be trained again it still has"
        else:
            text = f"{sum(filter(None, gone))} of {again} records to be trained again are gone from the topic"
        return text + "; dry_run lists them, accept_loss goes back all the same, records=skip trains none again"


class Prospects:
    """Looks at two checkpoints, the decisions and the log's beginning."""

    def __init__(self, store: CheckpointStore, decisions: Decisions, lag: Lag) -> None:
        self._store = store
        self._decisions = decisions
        self._lag = lag

    def of(self, identifier: str, newest: str | None = None, exclude: Sequence[Stretch] = ()) -> Prospect:
        """newest: another one to be compared with. Blocks. Raises CheckpointError, and Refused for what of `exclude`
        can't be."""
        then, known = self._store.manifest(identifier), self._store.ledger(identifier)
        if newest is None:
            found, _ = self._store.newest_valid()  # what a worker would restore
            if found is None:
                raise CheckpointError("there is no checkpoint")
            newest = found.id
        now, decisions = self._store.manifest(newest), self._decisions.all()
        before = caught_up(known, decisions, then.decisions)
        after = caught_up(self._store.ledger(newest), decisions, now.decisions)
        same_life = then.generation.topic_id == after.generation.topic_id
        if exclude and not same_life:
            raise Refused(details(HTTPStatus.CONFLICT, "topic-recreated", OTHER_LIFE))
        refuse_what_is_still_to_come(after, exclude, self._lag.ends())
        excisions = excised(before, exclude)
        return Prospect(
            newest,
            now.decisions,
            after,
            leave_out(before, excisions),
            same_life,
            excisions,
            consequences(after, before, self._lag.starts()),
        )

    def taken_in(self, source: str, taken: int) -> dict[str, Any]:
        """For the manifest of a checkpoint made of `source` whose ledger has taken in so many decisions: a worker that
        took one in again would undo what was made of it. Raises CheckpointError."""
        manifest = self._store.manifest(source)
        fields: dict[str, Any] = {"decisions": taken}
        missed = islice(self._decisions.all(), manifest.decisions, taken)
        if any(isinstance(each, ResetBreaker) for each in missed):
            fields["trainer_state"] = {**manifest.trainer_state, "breaker": None}
        return fields
