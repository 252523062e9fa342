"""POST /v1/pause /v1/resume /v1/stop /v1/start: idempotent, and they survive a restart of the service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from service.auth import Guard
from service.problems import documented
from service.supervisor import Supervisor
from service.worker_view import Desired, WorkerView
from streaming.control.messages import WorkerState

Drain = Annotated[bool, Query(description="Train what is read already first, for as long as that takes.")]


class DesiredBody(BaseModel):
    """state follows desired_state when the worker has finished its step."""

    state: WorkerState
    desired_state: Desired


def router(view: WorkerView, supervisor: Supervisor, guard: Guard) -> APIRouter:
    routes = APIRouter(
        prefix="/v1", tags=["control"], dependencies=[Depends(guard)], responses=documented(401, 403, 503)
    )

    async def told(desired: Desired, drain: bool = False) -> DesiredBody:
        await supervisor.set_desired(desired, drain)
        return DesiredBody(state=view.state, desired_state=view.desired)

    @routes.post("/pause")
    async def pause() -> DesiredBody:
        """Train no further after the present step; model and device are kept. After a stop they are taken again."""
        return await told(Desired.PAUSED)

    @routes.post("/resume")
    async def resume() -> DesiredBody:
        """Go on training, after a pause or a stop."""
        return await told(Desired.RUNNING)

    @routes.post("/stop", responses=documented(422))
    async def stop(drain: Drain = False) -> DesiredBody:
        """End the worker after a last checkpoint; memory and device are free then.

        A drain that takes too long ends at a second stop without one.
        """
        return await told(Desired.STOPPED, drain)

    @routes.post("/start")
    async def start() -> DesiredBody:
        """Go on after a stop; what was paused, and not stopped, stays paused. A pause before a stop is forgotten."""
        return await told(Desired.RUNNING if view.desired is Desired.STOPPED else view.desired)

    return routes
