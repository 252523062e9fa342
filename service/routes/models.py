"""POST /v1/checkpoints/{id}/export and /adapt: what becomes of a checkpoint's model elsewhere."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from service import adapting, exporting
from service.auth import Guard
from service.consequences import Prospects
from service.lag import Lag
from service.operation import AdaptRequest, CheckpointRequest, Flag, Operation, Text
from service.problems import HttpProblem, documented
from service.routes.checkpoints import Identifier, found
from service.routes.requests import IdempotencyKey, accepted
from service.routes.restores import LOOK_S, RestoreBody, look_back
from service.shelf import Shelf
from service.work_desk import WorkDesk


class AdaptBody(BaseModel):
    """What of the changed model begins anew; the rest has to fit the checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    init: Annotated[
        list[Text],
        Field(
            max_length=100,
            description="Variables that begin anew, or that the model has no more: names, or patterns as `head/*`.",
            examples=[["head/*"]],
        ),
    ] = []
    reset_optimizer: Annotated[Flag, Field(description="Nothing of the optimizer is taken over.")] = False
    accept_loss: Annotated[Flag, Field(description="Go back though records are gone that would be trained again.")] = (
        False
    )
    dry_run: Annotated[Flag, Field(description="Only tell what would begin anew, as the operation's result.")] = False


def router(shelf: Shelf, work: WorkDesk, prospects: Prospects, lag: Lag, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/checkpoints/{id}", tags=["checkpoints"], dependencies=[Depends(guard)])

    @routes.post(
        "/export",
        status_code=HTTPStatus.ACCEPTED,
        responses=documented(401, 403, 404, 409, 422, 429, 503),
        response_model_exclude_none=True,
    )
    async def export(identifier: Identifier, response: Response, idempotency_key: IdempotencyKey = None) -> Operation:
        """Make a SavedModel for TensorFlow Serving, in a process of its own; training goes on."""
        wanted = CheckpointRequest(checkpoint_id=identifier)
        asking = work.request(exporting.KIND, wanted, idempotency_key, lambda: _whole(shelf, identifier))
        return await accepted(asking, response)

    @routes.post(
        "/adapt",
        status_code=HTTPStatus.ACCEPTED,
        responses=documented(400, 401, 403, 404, 409, 422, 429, 503),
        response_model_exclude_none=True,
    )
    async def adapt(
        identifier: Identifier,
        response: Response,
        body: Annotated[AdaptBody | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Operation:
        """Go back to a checkpoint with a model that has been changed since: the ledger is kept, what fits is, too."""
        wanted = body or AdaptBody()
        if not wanted.accept_loss:
            await lag.first_look(LOOK_S)
        back = RestoreBody(accept_loss=wanted.accept_loss or wanted.dry_run)
        request = AdaptRequest(checkpoint_id=identifier, **wanted.model_dump())
        asking = work.request(
            adapting.KIND, request, idempotency_key, lambda: look_back(shelf, prospects, identifier, back)
        )
        return await accepted(asking, response)

    return routes


def _whole(shelf: Shelf, identifier: str) -> None:
    """Raises HttpProblem when there is no such checkpoint, or it is known to be damaged."""
    if found(shelf, identifier).integrity == "damaged":
        text = f"checkpoint {identifier} is damaged; take another one"
        raise HttpProblem(HTTPStatus.CONFLICT, "checkpoint-damaged", text)
