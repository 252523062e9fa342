"""/v1/checkpoints: take one, list and keep them, look into their ledgers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from service.auth import Guard
from service.consequences import gained
from service.curation import Curator
from service.operation import Flag, Operation, SaveRequest, Text
from service.problems import HttpProblem, documented
from service.routes.requests import IdempotencyKey, accepted
from service.save_desk import SaveDesk
from service.shelf import BadCursor, CheckpointGone, Interval, Shelf, records_page
from streaming.checkpoints.retention import CheckpointInfo, Integrity
from streaming.errors import CheckpointDamaged, CheckpointNeeded
from streaming.ledger.ledger import Kind, Ledger

Half = tuple[int, int]


class SettingChangeBody(BaseModel):
    """A live setting that was changed while training went on. step: the last one taken with the old value."""

    model_config = ConfigDict(from_attributes=True)

    setting: str
    before: float | str
    after: float | str
    source: str = Field(description="Where the new value comes from: default, file, environment, flag or api.")
    step: int
    at: datetime


class CheckpointBody(BaseModel):
    """integrity: `unverified` until its files have been hashed by this service.

    learning_rate: the optimizer's. setting_changes: since the parent, the oldest first.
    """

    id: str
    parent: str | None
    step: int | None
    created_at: datetime
    size_bytes: int
    label: str | None
    pinned: bool
    cause: str | None
    integrity: Integrity
    learning_rate: float | None
    setting_changes: list[SettingChangeBody]


class CheckpointsBody(BaseModel):
    """Newest first. next: pass it as `cursor` for what comes after."""

    checkpoints: list[CheckpointBody]
    next: str | None


class NoteBody(BaseModel):
    """What is given is changed; a label of null takes it away."""

    model_config = ConfigDict(extra="forbid")

    label: Text | None = None
    pinned: Annotated[Flag, Field(description="Kept for ever.")] = False


class PartitionRecords(BaseModel):
    """Half-open intervals `[start, stop)` of offsets by what became of them."""

    topic: str
    partition: int
    origin: int
    position: int
    trained: list[Half] = []
    held_out: list[Half] = []
    dead_lettered: list[Half] = []
    skipped: list[Half] = []
    absent: list[Half] = []
    lost: list[Half] = []
    excluded: list[Half] = []


class RecordsPage(BaseModel):
    """next: pass it as `cursor` for the intervals that come after."""

    partitions: list[PartitionRecords]
    next: str | None


class DiffPage(RecordsPage):
    """to: the other checkpoint; steps: how many it is ahead, negative if it is the older one.

    partitions: the offsets that are of another kind there than here, by the kind they have there; origin and position
    are those of `to`. Offsets that are settled here and not there are in the diff the other way round.
    """

    to: str
    steps: int | None


Identifier = Annotated[str, Path(alias="id")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]


Partition = Annotated[int | None, Query(ge=0)]
Intervals = Annotated[int, Query(ge=1, le=10_000, description="Most intervals on a page.")]


def router(shelf: Shelf, desk: SaveDesk, curator: Curator, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])

    @routes.post(
        "",
        status_code=HTTPStatus.ACCEPTED,
        dependencies=[Depends(guard)],
        responses=documented(400, 401, 403, 409, 422, 429, 503),
        response_model_exclude_none=True,
    )
    async def create_checkpoint(
        response: Response,
        wanted: Annotated[SaveRequest | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Operation:
        """Take a checkpoint as soon as a worker can.

        A request that equals an unfinished one joins it, and so does one without label and pin while a save is being
        written: what was trained since that began is not in it. With a label of its own there is always a new one.
        """
        return await accepted(desk.request(wanted or SaveRequest(), idempotency_key), response)

    @routes.get("", responses=documented(422, 503))
    def list_checkpoints(limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Cursor = None) -> CheckpointsBody:
        """Newest first."""
        with _readable():
            page = shelf.page(limit, cursor)
        return CheckpointsBody(checkpoints=[_body(info) for info in page.items], next=page.next)

    @routes.get("/{id}", responses=documented(404, 503))
    def show_checkpoint(identifier: Identifier) -> CheckpointBody:
        """One checkpoint."""
        return _body(found(shelf, identifier))

    @routes.patch("/{id}", dependencies=[Depends(guard)], responses=documented(400, 401, 403, 404, 422, 503))
    async def change_checkpoint(identifier: Identifier, changes: NoteBody) -> CheckpointBody:
        """Give it a label or a pin, or take them away."""
        try:
            return _body(await curator.note(identifier, changes.model_dump(exclude_unset=True)))
        except CheckpointGone as error:
            raise HttpProblem(HTTPStatus.NOT_FOUND, "checkpoint-not-found", str(error)) from error

    @routes.delete(
        "/{id}",
        status_code=HTTPStatus.NO_CONTENT,
        dependencies=[Depends(guard)],
        responses=documented(401, 403, 404, 409, 503),
    )
    async def delete_checkpoint(identifier: Identifier) -> None:
        """Throw it away: never a pinned one, nor the one that a restart would restore."""
        try:
            await curator.delete(identifier)
        except CheckpointGone as error:
            raise HttpProblem(HTTPStatus.NOT_FOUND, "checkpoint-not-found", str(error)) from error
        except CheckpointNeeded as error:
            raise HttpProblem(HTTPStatus.CONFLICT, "checkpoint-needed", str(error)) from error

    @routes.get("/{id}/records", responses=documented(404, 409, 422, 503))
    def list_records(
        identifier: Identifier,
        partition: Partition = None,
        kind: Kind | None = None,
        limit: Intervals = 1000,
        cursor: Cursor = None,
    ) -> RecordsPage:
        """What became of every offset: the ledger inside this checkpoint, as intervals."""
        found(shelf, identifier)
        with _readable():
            ledger = shelf.ledger(identifier)
            page = records_page(ledger, partition, kind, limit, cursor)
        return RecordsPage(partitions=_by_partition(ledger, partition, page.items, cursor), next=page.next)

    @routes.get("/{id}/diff", responses=documented(404, 409, 422, 503))
    def diff_checkpoints(
        identifier: Identifier,
        to: Annotated[str, Query(description="The other checkpoint.")],
        partition: Partition = None,
        kind: Kind | None = None,
        limit: Intervals = 1000,
        cursor: Cursor = None,
    ) -> DiffPage:
        """What was trained, held out, … between two checkpoints."""
        here, there = found(shelf, identifier), found(shelf, to)
        with _readable():
            ledger = shelf.ledger(to)
            page = records_page(gained(shelf.ledger(identifier), ledger), partition, kind, limit, cursor)
        steps = None if here.step is None or there.step is None else there.step - here.step
        partitions = _by_partition(ledger, partition, page.items, cursor)
        return DiffPage(to=to, steps=steps, partitions=partitions, next=page.next)

    return routes


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except CheckpointDamaged as error:
        raise HttpProblem(HTTPStatus.CONFLICT, "checkpoint-damaged", str(error)) from error
    except BadCursor as error:
        raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", str(error)) from error


def found(shelf: Shelf, identifier: str) -> CheckpointInfo:
    """Raises HttpProblem 404."""
    info = shelf.find(identifier)
    if info is None:
        text = f"no checkpoint {identifier}; GET /v1/checkpoints lists them"
        raise HttpProblem(HTTPStatus.NOT_FOUND, "checkpoint-not-found", text)
    return info


def _body(info: CheckpointInfo) -> CheckpointBody:
    fields = {name: getattr(info, name) for name in CheckpointBody.model_fields}
    return CheckpointBody.model_validate(fields | {"created_at": datetime.fromtimestamp(info.created_at, UTC)})


def _by_partition(
    ledger: Ledger, partition: int | None, items: list[Interval], cursor: str | None
) -> list[PartitionRecords]:
    """Later pages leave out partitions of which they have nothing."""
    on_page = {item.partition for item in items}
    bodies = {
        each: PartitionRecords(
            topic=ledger.generation.topic, partition=each, origin=ledger.origin(each), position=ledger.position(each)
        )
        for each in ledger.partitions()
        if partition in (None, each) and (cursor is None or each in on_page)
    }
    for item in items:
        getattr(bodies[item.partition], item.kind).append((item.start, item.stop))
    return list(bodies.values())
