"""Checkpoints as the API shows them: pages of a list, pages of a ledger, and what the newest one says."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

from service.worker_view import Durable
from streaming.checkpoints.manifest import is_id
from streaming.checkpoints.retention import CheckpointInfo
from streaming.checkpoints.store import CheckpointStore
from streaming.control.messages import PartitionStatus
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Kind, Ledger

T = TypeVar("T")
_log = structlog.get_logger()


class Interval(NamedTuple):
    """Offsets `[start, stop)` of one partition, settled as one kind."""

    partition: int
    kind: Kind
    start: int
    stop: int


class Page(NamedTuple, Generic[T]):
    """Some items; next: the cursor of the rest, None at the end."""

    items: list[T]
    next: str | None


class BadCursor(ValueError):
    """A cursor that no page has given out."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"cursor {cursor!r} is not one that a page gave out")


class CheckpointGone(CheckpointError):
    """There is no such checkpoint, or no more: retention took it away."""


class Shelf:
    """Reads the checkpoints' folder. Every call blocks and may run on any thread."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store

    def page(self, limit: int, cursor: str | None) -> Page[CheckpointInfo]:
        """Newest first, after the checkpoint that the cursor names; that one may be gone by now. Raises BadCursor."""
        if cursor is not None and not is_id(cursor):
            raise BadCursor(cursor)
        after = [info for info in self._store.list() if cursor is None or info.id < cursor]
        return Page(after[:limit], after[limit - 1].id if len(after) > limit else None)

    def find(self, identifier: str) -> CheckpointInfo | None:
        return next((info for info in self._store.list() if info.id == identifier), None)

    def ledger(self, identifier: str) -> Ledger:
        """Raises CheckpointDamaged."""
        return self._store.ledger(identifier)

    def verify(self, identifier: str) -> None:
        """Hash every file. Raises CheckpointGone, CheckpointDamaged naming the file that isn't what was written."""
        try:
            self._store.verify(identifier)
        except CheckpointError as error:
            if self.find(identifier) is None:
                raise CheckpointGone(f"there is no checkpoint {identifier} any more") from error
            raise

    def newest(self) -> tuple[CheckpointInfo, Ledger] | None:
        """The newest readable checkpoint with its ledger; None without one. Raises CheckpointError."""
        for info in self._store.list():
            try:
                return info, self._store.ledger(info.id)
            except CheckpointDamaged as error:
                _log.warning("checkpoint_unreadable", checkpoint_id=info.id, detail=str(error))
        return None

    def trainer_state(self) -> dict[str, Any]:
        """What the newest readable checkpoint says of the trainer; nothing without one."""
        for info in self._store.list():
            try:
                return self._store.manifest(info.id).trainer_state
            except CheckpointDamaged:
                continue
        return {}

    def durable(self) -> Durable | None:
        """What the newest readable checkpoint says; None without one."""
        try:
            newest = self.newest()
        except CheckpointError as error:
            _log.error("checkpoints_unreadable", detail=str(error))
            return None
        return None if newest is None else _durable(*newest)


def records_page(
    ledger: Ledger, partition: int | None, kind: Kind | None, limit: int, cursor: str | None
) -> Page[Interval]:
    """Intervals in the order partition, kind, start. A ledger in a checkpoint never changes, so pages fit together.

    Raises BadCursor.
    """
    after = _position(cursor)
    found = (each for each in _intervals(ledger, partition, kind) if after is None or _order(each) > after)
    items = list(islice(found, limit + 1))
    if len(items) <= limit:
        return Page(items, None)
    return Page(items[:limit], ".".join(str(part) for part in _order(items[limit - 1])))


def _intervals(ledger: Ledger, partition: int | None, kind: Kind | None) -> Iterator[Interval]:
    for each in ledger.partitions():
        if partition in (None, each):
            for which in Kind if kind is None else (kind,):
                for start, stop in ledger.kind_intervals(each, which):
                    yield Interval(each, which, start, stop)


_KINDS = list(Kind)


def _order(interval: Interval) -> tuple[int, int, int]:
    return interval.partition, _KINDS.index(interval.kind), interval.start


def _position(cursor: str | None) -> tuple[int, int, int] | None:
    if cursor is None:
        return None
    try:
        partition, kind, start = (int(part) for part in cursor.split("."))
    except ValueError:
        raise BadCursor(cursor) from None
    return partition, kind, start


def _durable(info: CheckpointInfo, ledger: Ledger) -> Durable:
    partitions = [
        PartitionStatus(
            topic=ledger.generation.topic,
            partition=each,
            origin=ledger.origin(each),
            position=ledger.position(each),
            fetched=ledger.position(each),
            trained=ledger.count(each, Kind.TRAINED),
            checkpointed=ledger.position(each),
        )
        for each in ledger.partitions()
    ]
    records = {str(kind): count for kind, count in ledger.counts().items()}
    topic_id = ledger.generation.topic_id
    return Durable(info.id, info.step or 0, info.created_at, info.size_bytes, records, partitions, topic_id)
