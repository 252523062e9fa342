"""POST /v1/checkpoints/{id}/export: what becomes of a checkpoint's model beside the training."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Response

from service import exporting
from service.auth import Guard
from service.operation import CheckpointRequest, Operation
from service.problems import HttpProblem, documented
from service.routes.checkpoints import Identifier, found
from service.routes.requests import IdempotencyKey, accepted
from service.shelf import Shelf
from service.work_desk import WorkDesk


def router(shelf: Shelf, work: WorkDesk, guard: Guard) -> APIRouter:
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

    return routes


def _whole(shelf: Shelf, identifier: str) -> None:
    """Raises HttpProblem when there is no such checkpoint, or it is known to be damaged."""
    if found(shelf, identifier).integrity == "damaged":
        text = f"checkpoint {identifier} is damaged; take another one"
        raise HttpProblem(HTTPStatus.CONFLICT, "checkpoint-damaged", text)
