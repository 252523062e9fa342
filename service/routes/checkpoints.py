"""/v1/checkpoints: take one, list them, look into their ledgers."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from pydantic import BaseModel

from service.auth import Guard
from service.operations import Operation, SaveRequest
from service.problems import HttpProblem, documented
from service.routes.requests import IdempotencyKey, accepted
from service.save_desk import SaveDesk
from service.shelf import BadCursor, Interval, Shelf, records_page
from streaming.checkpoints.retention import CheckpointInfo, Integrity
from streaming.errors import CheckpointDamaged
from streaming.ledger.ledger import Kind, Ledger

Half = tuple[int, int]


class CheckpointBody(BaseModel):
    """integrity: `unverified` until its files have been hashed by this service."""

    id: str
    parent: str | None
    step: int | None
    created_at: datetime
    size_bytes: int
    label: str | None
    pinned: bool
    cause: str | None
    integrity: Integrity


class CheckpointsBody(BaseModel):
    """Newest first. next: pass it as `cursor` for what comes after."""

    checkpoints: list[CheckpointBody]
    next: str | None


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


Identifier = Annotated[str, Path(alias="id")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]


def router(shelf: Shelf, desk: SaveDesk, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])

    @routes.post(
        "",
        status_code=HTTPStatus.ACCEPTED,
        dependencies=[Depends(guard)],
        responses=documented(401, 403, 409, 422, 429, 503),
        response_model_exclude_none=True,
    )
    async def create_checkpoint(
        response: Response,
        wanted: Annotated[SaveRequest | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Operation:
        """Take a checkpoint as soon as a worker can. A request that equals an unfinished one joins it."""
        return await accepted(desk.request(wanted or SaveRequest(), idempotency_key), response)

    @routes.get("", responses=documented(422, 503))
    def list_checkpoints(limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Cursor = None) -> CheckpointsBody:
        """Newest first."""
        page = shelf.page(limit, cursor)
        return CheckpointsBody(checkpoints=[_body(info) for info in page.items], next=page.next)

    @routes.get("/{id}", responses=documented(404, 503))
    def show_checkpoint(identifier: Identifier) -> CheckpointBody:
        """One checkpoint."""
        return _body(found(shelf, identifier))

    @routes.get("/{id}/records", responses=documented(404, 409, 422, 503))
    def list_records(
        identifier: Identifier,
        partition: Annotated[int | None, Query(ge=0)] = None,
        kind: Kind | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000, description="Most intervals on a page.")] = 1000,
        cursor: Cursor = None,
    ) -> RecordsPage:
        """What became of every offset: the ledger inside this checkpoint, as intervals."""
        found(shelf, identifier)
        try:
            ledger = shelf.ledger(identifier)
            page = records_page(ledger, partition, kind, limit, cursor)
        except CheckpointDamaged as error:
            raise HttpProblem(HTTPStatus.CONFLICT, "checkpoint-damaged", str(error)) from error
        except BadCursor as error:
            raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", str(error)) from error
        numbers = [each for each in ledger.partitions() if partition in (None, each)]
        return RecordsPage(partitions=_by_partition(ledger, numbers, page.items, cursor), next=page.next)

    return routes


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
    ledger: Ledger, numbers: list[int], items: list[Interval], cursor: str | None
) -> list[PartitionRecords]:
    """Later pages leave out partitions of which they have nothing."""
    on_page = {item.partition for item in items}
    bodies = {
        each: PartitionRecords(
            topic=ledger.generation.topic, partition=each, origin=ledger.origin(each), position=ledger.position(each)
        )
        for each in numbers
        if cursor is None or each in on_page
    }
    for item in items:
        getattr(bodies[item.partition], item.kind).append((item.start, item.stop))
    return list(bodies.values())
