"""POST /v1/pause /v1/resume: idempotent, and they survive a restart of the service."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from service.auth import Guard
from service.problems import documented
from service.supervisor import Supervisor
from service.worker_view import Desired, WorkerView
from streaming.control.messages import WorkerState


class DesiredBody(BaseModel):
    """state follows desired_state when the worker has finished its step."""

    state: WorkerState
    desired_state: Desired


def router(view: WorkerView, supervisor: Supervisor, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["control"], dependencies=[Depends(guard)], responses=documented(401, 403))

    @routes.post("/pause")
    async def pause() -> DesiredBody:
        """Stop training after the present step; model and device are kept."""
        await supervisor.set_desired(Desired.PAUSED)
        return DesiredBody(state=view.state, desired_state=view.desired)

    @routes.post("/resume")
    async def resume() -> DesiredBody:
        """Go on training."""
        await supervisor.set_desired(Desired.RUNNING)
        return DesiredBody(state=view.state, desired_state=view.desired)

    return routes
