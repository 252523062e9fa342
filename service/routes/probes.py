"""/livez /readyz /startupz: 200 or 503, with a line for each check."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service import health
from service.routes.status import Degraded, degraded_of
from service.worker_view import WorkerView


class CheckBody(BaseModel):
    name: str
    ok: bool
    detail: str


class ProbeBody(BaseModel):
    status: Literal["ok", "failing"]
    checks: list[CheckBody]
    degraded: Degraded | None = None


def router(view: WorkerView) -> APIRouter:
    routes = APIRouter(tags=["probes"])
    failing: dict[int | str, dict[str, object]] = {503: {"model": ProbeBody, "description": "A check fails"}}

    def answer(checks: list[health.Check], response: Response) -> ProbeBody:
        ok = all(check.ok for check in checks)
        response.status_code = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Cache-Control"] = "no-store"
        lines = [CheckBody(name=check.name, ok=check.ok, detail=check.detail) for check in checks]
        return ProbeBody(status="ok" if ok else "failing", checks=lines, degraded=degraded_of(view))

    @routes.get("/livez", responses=failing)
    async def livez(response: Response) -> ProbeBody:
        """The service can still put things right by itself."""
        return answer(health.live(view), response)

    @routes.get("/readyz", responses=failing)
    async def readyz(response: Response) -> ProbeBody:
        """The service does what is wanted of it; a broker that is away shows as `degraded`."""
        return answer(health.ready(view), response)

    @routes.get("/startupz", responses=failing)
    async def startupz(response: Response) -> ProbeBody:
        """The worker has restored its state and reported."""
        return answer(health.started(view), response)

    return routes
