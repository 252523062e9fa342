"""GET /v1/events: server-sent events, what the page lives on."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from service.problems import HttpProblem, documented
from service.recorder import Recorder
from service.routes.broadcast import Broadcast, Heard

MOST_LISTENERS = 64
RETRY_AFTER_S = 5
SPREAD_S = 0.5
"""So long after a look the last of them is told: written to at once, sixty would hold up a probe."""
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The second one keeps nginx from collecting events before it passes them on."""
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


class EventStream(StreamingResponse):
    """FastAPI's own EventSourceResponse takes events one by one, and each through two queues and a timer."""

    media_type = "text/event-stream"


def router(broadcast: Broadcast, recorder: Recorder) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["status"])
    places = list(range(MOST_LISTENERS))

    async def place() -> AsyncIterator[int]:
        if not places:
            text = f"{MOST_LISTENERS} others listen already"
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            raise HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", text, headers)
        number = heapq.heappop(places)
        try:
            yield number
        finally:
            heapq.heappush(places, number)

    @routes.get(
        "/events",
        response_class=EventStream,
        responses=_STREAM | documented(429),
    )
    async def events(number: Annotated[int, Depends(place)]) -> EventStream:
        """What happens, as server-sent events: status, chart points, happenings."""
        return EventStream(_told(broadcast, recorder, SPREAD_S * number / MOST_LISTENERS), headers=_HEADERS)

    return routes


async def _told(broadcast: Broadcast, recorder: Recorder, delay_s: float) -> AsyncIterator[bytes]:
    heard: Heard | None = None
    while not recorder.closed:
        told, heard = broadcast.after(heard)
        yield told
        await recorder.next_look()
        await asyncio.sleep(delay_s)
