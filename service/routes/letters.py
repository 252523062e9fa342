"""/v1/dead-letters: which records were refused and why, and reading them again."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service import letters
from service.auth import Guard
from service.operation import Flag, Offset, Operation, Partition, RequeueRequest, Text
from service.problems import HttpProblem, documented
from service.routes.requests import IdempotencyKey, accepted
from service.shelf import BadCursor, Shelf
from service.work_desk import WorkDesk


class LetterBody(BaseModel):
    topic: str
    partition: int
    offset: int
    reason: str


class LettersBody(BaseModel):
    """As of the newest checkpoint. counts: of all dead letters, by reason. next: pass it as `cursor`."""

    checkpoint_id: str | None
    counts: dict[str, int]
    dead_letters: list[LetterBody]
    next: str | None


class RequeueBody(BaseModel):
    """Which ones: those that meet all conditions given, or `all` of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Text | None = None
    partitions: Annotated[list[Partition], Field(min_length=1)] | None = None
    before: Annotated[Offset | None, Field(description="Offsets below this one.")] = None
    all: Flag = False

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.all == any(each is not None for each in (self.reason, self.partitions, self.before)):
            raise ValueError("give reason, partitions or before, or else all")
        return self


def router(shelf: Shelf, work: WorkDesk, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], dependencies=[Depends(guard)])

    @routes.get("", responses=documented(401, 403, 422, 503))
    async def list_letters(
        reason: str | None = None,
        partition: Annotated[int | None, Query(ge=0)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    ) -> LettersBody:
        """By partition, the newest first."""
        try:
            return await asyncio.to_thread(_page, shelf, reason, partition, limit, cursor)
        except BadCursor as error:
            raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", str(error)) from error

    @routes.post(
        "/requeue",
        status_code=HTTPStatus.ACCEPTED,
        responses=documented(400, 401, 403, 409, 422, 429, 503),
        response_model_exclude_none=True,
    )
    async def requeue(
        body: Annotated[RequeueBody, Body()], response: Response, idempotency_key: IdempotencyKey = None
    ) -> Operation:
        """Owe them again, so that they are read in place; the worker begins anew. Quarantined ones stay where they

        are, and so do those that the topic has no more: the result counts both.
        """
        wanted = RequeueRequest(**body.model_dump())
        return await accepted(work.request(letters.KIND, wanted, idempotency_key), response)

    return routes


def _page(shelf: Shelf, reason: str | None, partition: int | None, limit: int, cursor: str | None) -> LettersBody:
    newest = shelf.newest()
    if newest is None:
        return LettersBody(checkpoint_id=None, counts={}, dead_letters=[], next=None)
    info, ledger = newest
    page = letters.letters_page(ledger, reason, partition, limit, cursor)
    topic = ledger.generation.topic
    return LettersBody(
        checkpoint_id=info.id,
        counts=letters.counts(ledger),
        dead_letters=[LetterBody(topic=topic, **each._asdict()) for each in page.items],
        next=page.next,
    )
