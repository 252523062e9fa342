"""GET /metrics: Prometheus' text or OpenMetrics, as the scraper asks."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.metrics import Metrics

KEPT_S = 1.0


class Exposition:
    """The metrics as text. Rendering takes 4 ms of the cores that train, so what was rendered holds for a second:
    whoever scrapes more often than that slows nothing down."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._rendered: dict[str, tuple[float, bytes]] = {}

    def render(self, encode: Callable[[CollectorRegistry], bytes], content_type: str) -> bytes:
        """encode, content_type: what `choose_encoder` gives for what the scraper accepts."""
        now = self._clock()
        at, text = self._rendered.get(content_type, (now - KEPT_S, b""))
        if now - at >= KEPT_S:
            self._metrics.refresh()
            text = encode(self._metrics.registry)
            self._rendered[content_type] = now, text
        return text


def router(metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["metrics"])
    exposition = Exposition(metrics)

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def scrape(accept: Annotated[str, Header()] = "") -> Response:
        """Every family starts with `penstock_` or is a process metric. Made anew after a second."""
        encode, content_type = choose_encoder(accept)
        return Response(exposition.render(encode, content_type), headers={"Content-Type": content_type})

    return routes
