"""POST /v1/checkpoints/{id}/verify and /restore: is it whole, and back to it."""

import asyncio
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pyroaring import BitMap64

from service import rollback, verification
from service.auth import Guard
from service.consequences import Consequence, Prospect, Prospects, leaving_out
from service.excision import OTHER_LIFE, Excision, refuse_what_is_learnt
from service.lag import Lag
from service.operation import CheckpointRequest, Flag, Operation, RestoreRequest, Stretch
from service.problems import HttpProblem, documented
from service.routes.checkpoints import Half, Identifier, found
from service.routes.requests import IdempotencyKey, accepted, refusals_told
from service.shelf import Shelf
from service.work_desk import WorkDesk
from streaming.errors import CheckpointDamaged
from streaming.ledger.intervals import intervals

SHOWN = 1000
LOOK_S = 3.0
Records = Literal["retrain", "skip"]


class RestoreBody(BaseModel):
    """How to go back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records: Annotated[
        Records, Field(description="What was settled since then: train it again, or leave it out (`excluded`).")
    ] = "retrain"
    dry_run: Annotated[Flag, Field(description="Only tell the consequences.")] = False
    accept_loss: Annotated[Flag, Field(description="Go back though records are gone that would be trained again.")] = (
        False
    )
    exclude: Annotated[
        list[Stretch],
        Field(
            max_length=10_000,
            description="Left out for good, from this and every other checkpoint on: `[start, stop)` of a partition.",
            examples=[[{"partition": 0, "start": 1200, "stop": 1300}]],
        ),
    ] = []


class ConsequenceBody(BaseModel):
    """For one partition. Half-open intervals of offsets, the first 1,000 of each; the counts are of all.

    again: settled now and not in that checkpoint; trained: those of them that are in the weights now.
    gone: those of them that the topic has no more; null while nobody knows where its log begins.
    excluded: what `exclude` leaves out. kept: what of it that checkpoint has trained or held out already; while there
    is any, the restore is refused.
    """

    topic: str
    partition: int
    position: int = Field(description="The position afterwards.")
    again: int
    trained: int
    intervals: list[Half]
    gone: int | None
    gone_intervals: list[Half]
    excluded: int
    excluded_intervals: list[Half]
    kept: int
    kept_intervals: list[Half]


class DryRunBody(BaseModel):
    """As of `newest`: what is trained after it is trained again, too. With `skip` nothing is, but excluded."""

    checkpoint_id: str
    newest: str
    records: Records
    again: int
    gone: int | None
    partitions: list[ConsequenceBody]


_DRY: dict[int | str, dict[str, Any]] = {200: {"model": DryRunBody, "description": "The consequences; nothing is done"}}


def router(shelf: Shelf, work: WorkDesk, prospects: Prospects, lag: Lag, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/checkpoints/{id}", tags=["checkpoints"], dependencies=[Depends(guard)])

    @routes.post(
        "/verify",
        status_code=HTTPStatus.ACCEPTED,
        responses=documented(401, 403, 404, 409, 422, 429, 503),
        response_model_exclude_none=True,
    )
    async def verify(identifier: Identifier, response: Response, idempotency_key: IdempotencyKey = None) -> Operation:
        """Hash every file; the list shows the outcome. A damaged one fails with `checkpoint-damaged` naming it."""
        wanted = CheckpointRequest(checkpoint_id=identifier)
        asking = work.request(verification.KIND, wanted, idempotency_key, lambda: found(shelf, identifier))
        return await accepted(asking, response)

    @routes.post(
        "/restore",
        status_code=HTTPStatus.ACCEPTED,
        responses=_DRY | documented(400, 401, 403, 404, 409, 422, 429, 503),
        response_model=Operation,
        response_model_exclude_none=True,
    )
    async def restore(
        identifier: Identifier,
        response: Response,
        body: Annotated[RestoreBody | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Operation | JSONResponse:
        """Go back to a checkpoint: it becomes the newest again, as a new one, and the worker begins with that."""
        wanted = body or RestoreBody()
        if wanted.dry_run or wanted.exclude or (wanted.records == "retrain" and not wanted.accept_loss):
            await lag.first_look(LOOK_S)
        if wanted.dry_run:
            told = await asyncio.to_thread(
                lambda: _told(wanted, identifier, _prospect(shelf, prospects, identifier, wanted))
            )
            return JSONResponse(told.model_dump(mode="json"))

        request = RestoreRequest(checkpoint_id=identifier, **wanted.model_dump(exclude={"dry_run"}))
        asking = work.request(
            rollback.KIND, request, idempotency_key, lambda: look_back(shelf, prospects, identifier, wanted)
        )
        return await accepted(asking, response)

    return routes


def look_back(shelf: Shelf, prospects: Prospects, identifier: str, wanted: RestoreBody) -> None:
    """Blocks. Raises HttpProblem for what a restore would refuse."""
    prospect = _prospect(shelf, prospects, identifier, wanted)
    with refusals_told():
        refuse_what_is_learnt(identifier, prospect.excisions)
    if prospect.loss is not None and wanted.records == "retrain" and not wanted.accept_loss:
        raise HttpProblem(HTTPStatus.CONFLICT, "records-gone", prospect.loss)


def _prospect(shelf: Shelf, prospects: Prospects, identifier: str, wanted: RestoreBody) -> Prospect:
    info = found(shelf, identifier)
    try:
        if info.integrity == "damaged":
            raise CheckpointDamaged(f"checkpoint {identifier} is damaged; go back to another one")
        with refusals_told():
            return prospects.of(identifier, exclude=wanted.exclude)
    except CheckpointDamaged as error:
        raise HttpProblem(HTTPStatus.CONFLICT, "checkpoint-damaged", str(error)) from error


def _told(wanted: RestoreBody, identifier: str, prospect: Prospect) -> DryRunBody:
    partitions = prospect.partitions
    if wanted.records == "skip":
        if not prospect.same_life:
            raise HttpProblem(HTTPStatus.CONFLICT, "topic-recreated", OTHER_LIFE)
        after = leaving_out(prospect.now)(prospect.then)
        partitions = [each._replace(position=after.position(each.partition)) for each in partitions]
    gone = [None if each.gone is None else len(each.gone) for each in partitions]
    excisions = {each.partition: each for each in prospect.excisions}
    nothing = Excision(0, BitMap64(), BitMap64())
    return DryRunBody(
        checkpoint_id=identifier,
        newest=prospect.newest,
        records=wanted.records,
        again=sum(len(each.again) for each in partitions),
        gone=None if None in gone else sum(number or 0 for number in gone),
        partitions=[_body(each, excisions.get(each.partition, nothing)) for each in partitions],
    )


def _body(consequence: Consequence, excision: Excision) -> ConsequenceBody:
    gone = consequence.gone
    return ConsequenceBody(
        topic=consequence.topic,
        partition=consequence.partition,
        position=consequence.position,
        again=len(consequence.again),
        trained=consequence.trained,
        intervals=_first(consequence.again),
        gone=None if gone is None else len(gone),
        gone_intervals=[] if gone is None else _first(gone),
        excluded=len(excision.excluded),
        excluded_intervals=_first(excision.excluded),
        kept=len(excision.kept),
        kept_intervals=_first(excision.kept),
    )


def _first(offsets: BitMap64) -> list[Half]:
    return list(islice(intervals(offsets), SHOWN))
