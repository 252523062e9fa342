"""GET /v1/operations: what became of slow work."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from service.operation import Operation
from service.operations import Operations
from service.problems import HttpProblem, documented
from service.work_desk import WorkDesk


class OperationsBody(BaseModel):
    """The newest first; the service keeps 200."""

    operations: list[Operation]


def router(operations: Operations, work: WorkDesk) -> APIRouter:
    routes = APIRouter(prefix="/v1/operations", tags=["operations"])

    @routes.get("", response_model_exclude_none=True)
    async def list_operations() -> OperationsBody:
        """Newest first."""
        return OperationsBody(operations=operations.newest_first())

    @routes.get("/{id}", response_model_exclude_none=True, responses=documented(404, 503))
    async def show_operation(identifier: Annotated[str, Path(alias="id")]) -> Operation:
        """`succeeded` has a result, `failed` a problem."""
        operation = await work.find(identifier)
        if operation is None:
            text = f"no operation {identifier}; the newest 200 are kept"
            raise HttpProblem(HTTPStatus.NOT_FOUND, "operation-not-found", text)
        return operation

    return routes
