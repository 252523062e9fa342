"""The HTTP application: routes with their collaborators, errors as problem details, every request measured."""

from dataclasses import dataclass

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import problems
from service.anew import NewRun
from service.auth import Guard
from service.consequences import Prospects
from service.contract import contract
from service.curation import Curator
from service.gallery import Gallery
from service.http_metrics import HttpMetrics
from service.lag import Lag
from service.limits import Limits
from service.live_settings import LiveSettings
from service.metrics import Metrics
from service.offsets import Edits
from service.operations import Operations
from service.recorder import Recorder
from service.resolver import Resolver
from service.routes import (
    checkpoints,
    control,
    events,
    letters,
    metrics,
    models,
    new_run,
    offsets,
    operations,
    page,
    probes,
    restores,
    samples,
    settings,
    status,
)
from service.routes import problems as problem_routes
from service.routes.broadcast import Broadcast
from service.save_desk import SaveDesk
from service.shelf import Shelf
from service.supervisor import Supervisor
from service.work_desk import WorkDesk
from service.worker_view import WorkerView
from streaming.settings import ServiceSettings

MAX_BODY_BYTES = 1 << 20
DESCRIPTION = """Watch and steer a continuous training. Errors are RFC 9457 problem details.

Whatever changes something, or shows pictures, dead letters or settings, needs `Authorization: Bearer <token>`.
Beside what stands at each route, every one may answer 400, 408, 413 and 431 (no request as it should be), and all but
the probes and `/metrics` 403 (`foreign-host`) and 429 with `Retry-After`.
"""


@dataclass(frozen=True)
class Collaborators:
    """What the routes work with."""

    name: str
    version: str
    view: WorkerView
    supervisor: Supervisor
    live: LiveSettings
    resolver: Resolver
    shelf: Shelf
    prospects: Prospects
    operations: Operations
    curator: Curator
    edits: Edits
    new_run: NewRun
    desk: SaveDesk
    work: WorkDesk
    metrics: Metrics
    lag: Lag
    recorder: Recorder
    gallery: Gallery
    guard: Guard
    settings: ServiceSettings


def create_app(parts: Collaborators) -> FastAPI:
    """Build the application; nothing runs yet."""
    app = FastAPIOffline(
        title="penstock",
        version=parts.version,
        description=DESCRIPTION,
        redoc_url=None,
    )
    app.include_router(probes.router(parts.view))
    app.include_router(metrics.router(parts.metrics))
    app.include_router(status.router(parts.name, parts.view, parts.lag))
    app.include_router(problem_routes.router(parts.view, parts.resolver, parts.guard))
    app.include_router(control.router(parts.view, parts.supervisor, parts.guard))
    app.include_router(checkpoints.router(parts.shelf, parts.desk, parts.curator, parts.guard))
    app.include_router(restores.router(parts.shelf, parts.work, parts.prospects, parts.lag, parts.guard))
    app.include_router(models.router(parts.shelf, parts.work, parts.prospects, parts.lag, parts.guard))
    app.include_router(letters.router(parts.shelf, parts.work, parts.guard))
    app.include_router(offsets.router(parts.edits, parts.work, parts.view, parts.lag, parts.guard))
    app.include_router(new_run.router(parts.new_run, parts.work, parts.guard))
    app.include_router(operations.router(parts.operations, parts.work))
    app.include_router(settings.router(parts.live, parts.view, parts.shelf, parts.guard))
    broadcast = Broadcast(parts.name, parts.view, parts.lag, parts.recorder, parts.gallery)
    app.include_router(events.router(broadcast, parts.recorder))
    app.include_router(samples.router(parts.gallery, parts.guard))
    app.include_router(page.router())
    problems.install(app)
    app.openapi_schema = contract(app)
    app.add_middleware(Limits, settings=parts.settings, max_body_bytes=MAX_BODY_BYTES)
    app.add_middleware(HttpMetrics, registry=parts.metrics.registry)
    return app
