"""GET /v1/events: server-sent events, what the page lives on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from service.gallery import Gallery
from service.history import SERIES, TIERS, Point
from service.journal import About, Happening
from service.lag import Lag
from service.problems import HttpProblem, documented
from service.recorder import Recorder
from service.routes.status import StatusBody, status_body
from service.tape import Numbered
from service.worker_view import WorkerView

MOST_LISTENERS = 64
RETRY_AFTER_S = 5
AGAIN_MS = 2000


class HappeningBody(BaseModel):
    """number: counts from 1 with each start of the service. bad: somebody may want to look into it."""

    number: int
    at: datetime
    about: About
    text: str
    bad: bool


class TierBody(BaseModel):
    """A stretch of the past, a value every step_s seconds, the oldest first. at: Unix seconds, one for each value."""

    step_s: float
    most: int = Field(description="So many points are kept.")
    at: list[float]
    series: dict[str, list[float | None]]


class OpeningBody(BaseModel):
    """What there was before: ten minutes, two hours and a day, and the newest happenings, the oldest first."""

    tiers: list[TierBody]
    happenings: list[HappeningBody]


class PointBody(BaseModel):
    """One more value of each series of a tier."""

    tier: int
    at: float
    values: dict[str, float | None]


class NewestBody(BaseModel):
    """checkpoint: id of the newest one. pictures: when the newest ones were taken, for GET /v1/samples."""

    checkpoint: str | None
    pictures: datetime | None


EVENTS: dict[str, type[BaseModel]] = {
    "opening": OpeningBody,
    "status": StatusBody,
    "point": PointBody,
    "happening": HappeningBody,
    "newest": NewestBody,
}
_DESCRIPTION = """An endless stream of events; without a token, since it tells what /v1/status tells, and no picture.

`opening` comes first, then `status` every second; `point`, `happening` and `newest` when there is something new."""
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": _DESCRIPTION,
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'event: newest\ndata: {"checkpoint":"e000001-s000000042","pictures":null}\n\n',
            }
        },
    }
}


def router(name: str, view: WorkerView, lag: Lag, recorder: Recorder, gallery: Gallery) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["status"])
    listeners = 0

    async def place() -> AsyncIterator[None]:
        nonlocal listeners
        if listeners >= MOST_LISTENERS:
            text = f"{MOST_LISTENERS} others listen already"
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", text, headers)
        listeners += 1
        try:
            yield
        finally:
            listeners -= 1

    @routes.get(
        "/events",
        response_class=EventSourceResponse,
        dependencies=[Depends(place)],
        responses=_STREAM | documented(429),
    )
    async def events() -> AsyncIterator[ServerSentEvent]:
        """What happens, as server-sent events: status, chart points, happenings."""
        points, happenings = recorder.points.newest, recorder.journal.happenings.newest
        yield _event("opening", _opening(recorder), retry=AGAIN_MS)
        told: NewestBody | None = None
        while not recorder.closed:
            yield _event("status", status_body(name, view, lag))
            for number, point in recorder.points.after(points):
                points = number
                yield _event("point", PointBody(**point._asdict()))
            for each in recorder.journal.happenings.after(happenings):
                happenings = each.number
                yield _event("happening", _happening(each))
            newest = _newest(view, gallery)
            if newest != told:
                told = newest
                yield _event("newest", newest)
            await recorder.next_look()

    return routes


def _event(name: str, body: BaseModel, retry: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=body.model_dump_json(by_alias=True), retry=retry)


def _opening(recorder: Recorder) -> OpeningBody:
    tiers = [_tier(index, recorder.history.tier(index)) for index in range(len(TIERS))]
    return OpeningBody(tiers=tiers, happenings=[_happening(each) for each in recorder.journal.happenings.after(0)])


def _tier(index: int, points: list[Point]) -> TierBody:
    return TierBody(
        step_s=TIERS[index].step_s,
        most=TIERS[index].points,
        at=[round(point.at, 1) for point in points],
        series={name: [point.values[name] for point in points] for name in SERIES},
    )


def _happening(each: Numbered[Happening]) -> HappeningBody:
    happening = each.item
    at = datetime.fromtimestamp(happening.at, UTC)
    return HappeningBody(number=each.number, at=at, about=happening.about, text=happening.text, bad=happening.bad)


def _newest(view: WorkerView, gallery: Gallery) -> NewestBody:
    known = [each.checkpoint_id for each in (view.committed, view.durable) if each is not None]
    pictures = gallery.newest
    taken_at = None if pictures is None else datetime.fromtimestamp(pictures.taken_at, UTC)
    return NewestBody(checkpoint=max(known, default=None), pictures=taken_at)
