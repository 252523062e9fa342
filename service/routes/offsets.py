"""/v1/offsets: what is owed of each partition, and changing that while training is stopped."""

import asyncio
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pyroaring import BitMap64

from service import offsets
from service.auth import Guard
from service.lag import Lag
from service.offsets import Edits, Outlook
from service.operation import EditRequest, Flag, Operation
from service.problems import HttpProblem, documented
from service.routes.checkpoints import Half
from service.routes.requests import IdempotencyKey, accepted, refusals_told
from service.work_desk import WorkDesk
from service.worker_view import Desired, WorkerView
from streaming.ledger.intervals import intervals
from streaming.ledger.ledger import Kind, Ledger

SHOWN = 1000
LOOK_S = 3.0


class PartitionOffsets(BaseModel):
    """Offsets of one partition, the next one each; null while nobody knows where its log begins and ends.

    excluded: half-open intervals, the first 1,000.
    """

    topic: str
    partition: int
    origin: int
    position: int
    log_start: int | None
    log_end: int | None
    excluded: list[Half]


class OffsetsBody(BaseModel):
    """As of the newest checkpoint and every decision since."""

    checkpoint_id: str
    partitions: list[PartitionOffsets]


class EditBody(EditRequest):
    """What is to be owed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"partitions": [{"partition": 0, "exclude": [[1200, 1300]]}]}]}
    )

    dry_run: Annotated[Flag, Field(description="Only tell the consequences.")] = False


class OutlookBody(BaseModel):
    """For one partition. Half-open intervals of offsets, the first 1,000 of each; the counts are of all.

    excluded: owed now, and never trained then. owed: settled now without having been trained, and read again then.
    kept: meant to be excluded or owed, but in the weights or the hold-out set already; only a restore to before them
    takes that back.
    """

    topic: str
    partition: int
    position: int = Field(description="The position afterwards.")
    excluded: int
    excluded_intervals: list[Half]
    owed: int
    owed_intervals: list[Half]
    kept: int
    kept_intervals: list[Half]


class EditDryRun(BaseModel):
    partitions: list[OutlookBody]


_DRY: dict[int | str, dict[str, Any]] = {200: {"model": EditDryRun, "description": "The consequences; nothing is done"}}


def router(edits: Edits, work: WorkDesk, view: WorkerView, lag: Lag, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/offsets", tags=["offsets"])

    @routes.get("", responses=documented(503))
    def show_offsets() -> OffsetsBody:
        """What is owed of each partition."""
        newest, ledger = edits.newest()
        return OffsetsBody(
            checkpoint_id=newest.id, partitions=[_shown(ledger, each, lag) for each in ledger.partitions()]
        )

    @routes.patch(
        "",
        status_code=HTTPStatus.ACCEPTED,
        dependencies=[Depends(guard)],
        responses=_DRY | documented(400, 401, 403, 409, 422, 429, 503),
        response_model=Operation,
        response_model_exclude_none=True,
    )
    async def edit_offsets(
        body: Annotated[EditBody, Body()], response: Response, idempotency_key: IdempotencyKey = None
    ) -> Operation | JSONResponse:
        """Move a position or leave stretches out for good, while training is stopped; it makes a new checkpoint."""
        wanted = EditRequest(partitions=body.partitions)
        await lag.first_look(LOOK_S)
        if body.dry_run:
            with refusals_told():
                found = await asyncio.to_thread(edits.outlook, wanted)
            told = EditDryRun(partitions=[_told(each) for each in found])
            return JSONResponse(told.model_dump(mode="json"))

        def look() -> None:
            if view.desired is not Desired.STOPPED or view.pid is not None:
                text = f"offsets change only while training is stopped, and it is {view.state}: POST /v1/stop first"
                raise HttpProblem(HTTPStatus.CONFLICT, "not-stopped", text)
            with refusals_told():
                found = edits.outlook(wanted)
            if any(each.kept for each in found) and not any(each.excluded or each.owed for each in found):
                text = "all of it is trained or held out already: restore a checkpoint from before it, with `exclude`"
                raise HttpProblem(HTTPStatus.CONFLICT, "already-trained", text)

        return await accepted(work.request(offsets.KIND, wanted, idempotency_key, look), response)

    return routes


def _shown(ledger: Ledger, partition: int, lag: Lag) -> PartitionOffsets:
    excluded = ledger.kind_intervals(partition, Kind.EXCLUDED)
    return PartitionOffsets(
        topic=ledger.generation.topic,
        partition=partition,
        origin=ledger.origin(partition),
        position=ledger.position(partition),
        log_start=(lag.starts() or {}).get(partition),
        log_end=(lag.ends() or {}).get(partition),
        excluded=list(islice(excluded, SHOWN)),
    )


def _told(found: Outlook) -> OutlookBody:
    return OutlookBody(
        topic=found.topic,
        partition=found.partition,
        position=found.position,
        excluded=len(found.excluded),
        excluded_intervals=_first(found.excluded),
        owed=len(found.owed),
        owed_intervals=_first(found.owed),
        kept=len(found.kept),
        kept_intervals=_first(found.kept),
    )


def _first(bitmap: BitMap64) -> list[Half]:
    return list(islice(intervals(bitmap), SHOWN))
