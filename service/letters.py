"""Dead letters as the newest ledger has them: a page of them, and owing them again."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import NamedTuple

from pyroaring import BitMap64

from service.decisions import Decisions
from service.head import Head, Rewrite
from service.lag import Lag
from service.operation import Operation, RequeueRequest, RequeueResult
from service.problem_details import details
from service.shelf import BadCursor, Page
from service.work_desk import Refused
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointError
from streaming.ledger.intervals import within
from streaming.ledger.ledger import Kind, Ledger

KIND = "requeue"
UNKNOWN = "unknown"  # dead-lettered by a release that kept no reasons


class Letter(NamedTuple):
    partition: int
    offset: int
    reason: str


class Selection(NamedTuple):
    """offsets: partition -> what is to be owed again; the rest is left as it is."""

    offsets: dict[int, BitMap64]
    quarantined: int
    gone: int

    @property
    def counts(self) -> dict[str, int]:
        records = sum(len(offsets) for offsets in self.offsets.values())
        return {"records": records, "quarantined": self.quarantined, "gone": self.gone}


def counts(ledger: Ledger) -> dict[str, int]:
    """Dead letters by reason."""
    found: Counter[str] = Counter()
    for partition in ledger.partitions():
        for reason, offsets in _by_reason(ledger, partition).items():
            found[reason] += len(offsets)
    return dict(found)


def letters_page(
    ledger: Ledger, reason: str | None, partition: int | None, limit: int, cursor: str | None
) -> Page[Letter]:
    """Partition by partition, the newest offset first. New letters come in front, so that pages fit together.

    Raises BadCursor.
    """
    after = _place(cursor)
    items = list(islice(_newest_first(ledger, reason, partition, after, limit), limit + 1))
    if len(items) <= limit:
        return Page(items, None)
    return Page(items[:limit], f"{items[limit - 1].partition}.{items[limit - 1].offset}")


def select(
    ledger: Ledger, wanted: RequeueRequest, quarantined: set[tuple[int, int]], log_starts: Mapping[int, int]
) -> Selection:
    """The dead letters that meet all conditions, without those that crash their reader or are gone. Pure."""
    chosen, crashing, gone = {}, 0, 0
    for partition in ledger.partitions():
        if wanted.partitions is not None and partition not in wanted.partitions:
            continue
        by_reason = _by_reason(ledger, partition)
        offsets = BitMap64().union(*(each for name, each in by_reason.items() if wanted.reason in (None, name)))
        if wanted.before is not None:
            offsets = within(offsets, 0, wanted.before)
        untouchable = offsets & BitMap64(offset for number, offset in quarantined if number == partition)
        removed = within(offsets - untouchable, 0, log_starts.get(partition, 0))
        crashing, gone = crashing + len(untouchable), gone + len(removed)
        offsets = offsets - untouchable - removed
        if offsets:
            chosen[partition] = offsets
    return Selection(chosen, crashing, gone)


class Requeue:
    """The work of a requeue operation."""

    def __init__(self, store: CheckpointStore, head: Head, decisions: Decisions, lag: Lag) -> None:
        self._store = store
        self._head = head
        self._decisions = decisions
        self._lag = lag

    async def __call__(self, operation: Operation) -> RequeueResult:
        """Raises Refused, CheckpointError."""
        wanted = operation.request
        assert isinstance(wanted, RequeueRequest)
        made = await self._head.rewrite(operation, "dead letters are being requeued", lambda: self._prepare(wanted))
        return RequeueResult(checkpoint_id=made.checkpoint_id, **made.counts)

    async def _prepare(self, wanted: RequeueRequest) -> Rewrite:
        await self._lag.first_look()
        return await asyncio.to_thread(self._rewrite, wanted)

    def _rewrite(self, wanted: RequeueRequest) -> Rewrite:
        log_starts = self._lag.starts()
        if log_starts is None:
            text = "where the topic begins isn't known while Kafka is away, nor which records are still there"
            raise Refused(details(HTTPStatus.CONFLICT, "kafka-unavailable", text))
        newest, _ = self._store.newest_valid()
        if newest is None:
            raise CheckpointError("there is no checkpoint yet")
        ledger = self._store.ledger(newest.id)
        quarantined = self._decisions.quarantined(newest.generation.topic_id)
        selection = select(ledger, wanted, quarantined, log_starts)
        idle = not selection.offsets
        return Rewrite(newest.id, "requeue", lambda ledger: _owed(ledger, selection), selection.counts, idle=idle)


def _owed(ledger: Ledger, selection: Selection) -> Ledger:
    for partition, offsets in selection.offsets.items():
        ledger.unsettle(partition, offsets)
    return ledger


def _by_reason(ledger: Ledger, partition: int) -> dict[str, BitMap64]:
    """Disjoint, and together all dead letters of the partition."""
    found = {reason: ledger.of_reason(partition, reason) for reason in ledger.reasons(partition)}
    everything = ledger.of_kind(partition, Kind.DEAD_LETTERED, ledger.origin(partition), ledger.highest(partition))
    unknown = everything.difference(*found.values())
    return found | ({UNKNOWN: unknown | found.get(UNKNOWN, BitMap64())} if unknown else {})


def _newest_first(
    ledger: Ledger, reason: str | None, partition: int | None, after: tuple[int, int] | None, limit: int
) -> Iterator[Letter]:
    for number in ledger.partitions():
        if partition not in (None, number) or (after is not None and number < after[0]):
            continue
        below = after[1] if after is not None and number == after[0] else ledger.highest(number)
        by_reason = {name: each for name, each in _by_reason(ledger, number).items() if reason in (None, name)}
        found = within(BitMap64().union(*by_reason.values()), 0, below)
        for offset in reversed(found[max(0, len(found) - limit - 1) :].to_array()):
            name = next(name for name, each in by_reason.items() if offset in each)
            yield Letter(number, offset, name)


def _place(cursor: str | None) -> tuple[int, int] | None:
    if cursor is None:
        return None
    try:
        partition, offset = (int(part) for part in cursor.split("."))
        if not (0 <= partition < 2**31 and 0 <= offset < 2**63):
            raise ValueError
    except ValueError:
        raise BadCursor(cursor) from None
    return partition, offset
