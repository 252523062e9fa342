"""GET /metrics: Prometheus' text or OpenMetrics, as the scraper asks."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from prometheus_client.exposition import choose_encoder

from service.metrics import Metrics


def router(metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["metrics"])

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def scrape(accept: Annotated[str, Header()] = "") -> Response:
        """Every family starts with `penstock_` or is a process metric."""
        encode, content_type = choose_encoder(accept)
        metrics.refresh()
        return Response(encode(metrics.registry), headers={"Content-Type": content_type})

    return routes
