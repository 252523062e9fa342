"""POST /v1/new-run: the training begins from scratch, and what there was is put aside."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service import anew
from service.anew import NewRun
from service.auth import Guard
from service.operation import Flag, NewRunRequest, Operation
from service.problems import documented
from service.routes.requests import IdempotencyKey, accepted
from service.work_desk import WorkDesk


class NewRunBody(BaseModel):
    """How to begin anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: Annotated[Flag, Field(description="Only tell what would be put aside.")] = False


class PutAsideBody(BaseModel):
    """What would be put aside, below which folder; and where the new run begins to read, by `kafka.start`."""

    checkpoints: int
    size_bytes: int
    folder: str
    start: str


_DRY: dict[int | str, dict[str, Any]] = {
    200: {"model": PutAsideBody, "description": "What would be put aside; nothing is done"}
}


def router(new_run: NewRun, work: WorkDesk, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["control"], dependencies=[Depends(guard)])

    @routes.post(
        "/new-run",
        status_code=HTTPStatus.ACCEPTED,
        responses=_DRY | documented(400, 401, 403, 409, 422, 429, 503),
        response_model=Operation,
        response_model_exclude_none=True,
    )
    async def begin(
        response: Response,
        body: Annotated[NewRunBody | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Operation | JSONResponse:
        """Put all checkpoints aside, deleting none, and begin with a new model at `kafka.start`."""
        if body is not None and body.dry_run:
            return JSONResponse((await asyncio.to_thread(new_run.belongings))._asdict())
        wanted = NewRunRequest(start=new_run.start)
        return await accepted(work.request(anew.KIND, wanted, idempotency_key), response)

    return routes
