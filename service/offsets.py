"""Which offsets are owed, as a person wants it: a position moved, stretches left out for good."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from pyroaring import BitMap64

from service.consequences import Prospects
from service.decisions import Decisions
from service.head import Head, Rewrite
from service.lag import Lag
from service.operation import EditRequest, EditResult, Operation, PartitionEdit
from service.problem_details import details
from service.work_desk import Refused
from streaming.checkpoints.manifest import Manifest
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import Decision, Quarantine, Skip
from streaming.decided import caught_up
from streaming.errors import CheckpointError
from streaming.ledger.intervals import from_intervals, intervals, within
from streaming.ledger.ledger import Kind, Ledger

KIND = "edit"


class Log(NamedTuple):
    """The first offset that is still there and the next one to be written, by partition."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]


class Outlook(NamedTuple):
    """What an edit does to one partition. position: afterwards. excluded: owed now, and never trained then.

    owed: settled now without having been trained, and read again then. kept: meant to be excluded or owed again, but
    trained or held out already, which only a restore takes back.
    """

    topic: str
    partition: int
    position: int
    excluded: BitMap64
    owed: BitMap64
    kept: BitMap64


def outlook(ledger: Ledger, edits: Iterable[PartitionEdit], log: Log) -> list[Outlook]:
    """The ledger given is changed as it is wanted. Raises Refused."""
    found = []
    for edit in edits:
        _refuse_what_cannot_be(ledger, edit, log)
        number, position = edit.partition, ledger.position(edit.partition)
        learnt, wanted = _learnt(ledger, number), position if edit.position is None else edit.position
        stretches = from_intervals(edit.exclude) | ledger.unsettled(number, position, wanted)
        back = within(ledger.settled(number), wanted, position)
        owed = back - learnt - stretches
        excluded = ledger.unsettled(number, 0, log.ends[number]) & stretches
        ledger.unsettle(number, owed)
        ledger.record(number, Kind.EXCLUDED, excluded)
        kept = (stretches | back) & learnt
        found.append(Outlook(ledger.generation.topic, number, ledger.position(number), excluded, owed, kept))
    return found


def _refuse_what_cannot_be(ledger: Ledger, edit: PartitionEdit, log: Log) -> None:
    """Raises Refused."""
    number = edit.partition
    if number not in ledger.partitions() or number not in log.ends:
        text = f"this training knows no partition {number}"
        raise Refused(details(HTTPStatus.CONFLICT, "partition-unknown", text))
    start, end = log.starts.get(number, 0), log.ends[number]
    if max([edit.position or 0, *(stop for _, stop in edit.exclude)]) > end:
        text = f"partition {number} ends at offset {end}: what is still to come can't be excluded"
        raise Refused(details(HTTPStatus.CONFLICT, "beyond-log-end", text))
    if edit.position is None or edit.position >= ledger.position(number):
        return
    if edit.position < ledger.origin(number):
        text = f"partition {number} begins at offset {ledger.origin(number)}: what comes before was never owed"
        raise Refused(details(HTTPStatus.CONFLICT, "before-origin", text))
    if edit.position < start:
        text = f"partition {number} begins at offset {start} in the topic by now"
        raise Refused(details(HTTPStatus.CONFLICT, "records-gone", text))
    if edit.position in _learnt(ledger, number):
        text = f"offset {edit.position} of partition {number} is trained or held out already, and would be so twice"
        raise Refused(
            details(HTTPStatus.CONFLICT, "already-trained", f"{text}: restore a checkpoint from before it instead")
        )


def _learnt(ledger: Ledger, partition: int) -> BitMap64:
    origin, end = ledger.origin(partition), ledger.highest(partition)
    kinds = (Kind.TRAINED, Kind.HELD_OUT)
    return BitMap64().union(*(ledger.of_kind(partition, kind, origin, end) for kind in kinds))


class Edits:
    """The work of an edit operation, and what it would do."""

    def __init__(
        self, store: CheckpointStore, head: Head, decisions: Decisions, prospects: Prospects, lag: Lag
    ) -> None:
        self._store = store
        self._head = head
        self._decisions = decisions
        self._prospects = prospects
        self._lag = lag

    async def __call__(self, operation: Operation) -> EditResult:
        """Raises Refused, CheckpointError."""
        wanted = operation.request
        assert isinstance(wanted, EditRequest)
        made = await self._head.rewrite(operation, "offsets are being edited", lambda: self._prepare(wanted))
        return EditResult(checkpoint_id=made.checkpoint_id, **made.counts)

    def newest(self) -> tuple[Manifest, Ledger]:
        """The newest checkpoint, and its ledger with every decision taken in. Blocks. Raises CheckpointError."""
        newest, _ = self._store.newest_valid()
        if newest is None:
            raise CheckpointError("there is no checkpoint yet")
        return newest, caught_up(self._store.ledger(newest.id), self._decisions.all(), newest.decisions)

    def outlook(self, wanted: EditRequest) -> list[Outlook]:
        """What it would do. Blocks. Raises Refused, CheckpointError."""
        return outlook(self.newest()[1], wanted.partitions, self._log())

    def _log(self) -> Log:
        starts, ends = self._lag.starts(), self._lag.ends()
        if starts is None or ends is None:
            raise Refused(
                details(
                    HTTPStatus.CONFLICT,
                    "kafka-unavailable",
                    "where the topic begins and ends isn't known while Kafka is away",
                )
            )
        return Log(starts, ends)

    async def _prepare(self, wanted: EditRequest) -> Rewrite:
        await self._lag.first_look()
        return await asyncio.to_thread(self._rewrite, wanted)

    def _rewrite(self, wanted: EditRequest) -> Rewrite:
        newest, ledger = self.newest()
        topic_id = ledger.generation.topic_id
        found = outlook(ledger, wanted.partitions, self._log())
        offsets = {each.partition: list(intervals(each.excluded)) for each in found if each.excluded}
        known = self._decisions.all()
        decisions: list[Decision] = [Skip(at=time.time(), topic_id=topic_id, offsets=offsets)] if offsets else []
        taken = len(known) + len(decisions)
        # The new checkpoint has taken all in, but only a worker can write letters: those are asked for once more.
        decisions += [each for each in known[newest.decisions :] if isinstance(each, Quarantine)]

        def change(saved: Ledger) -> Ledger:
            saved = caught_up(saved, self._decisions.all()[:taken], newest.decisions)
            for each in found:
                saved.unsettle(each.partition, each.owed)
            return saved

        counts = {name: sum(len(getattr(each, name)) for each in found) for name in ("excluded", "owed", "kept")}
        fields = self._prospects.taken_in(newest.id, taken)
        return Rewrite(
            newest.id, "edit", change, counts, fields, decisions, idle=not (counts["excluded"] or counts["owed"])
        )
