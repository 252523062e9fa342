"""Measures every request by its route's template, so that ids in paths don't become label values."""

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 10)  # few: every one is a line of each scrape, times methods, routes and answers


class HttpMetrics:
    """ASGI middleware. An endless stream counts until it begins."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._durations = Histogram(
            "http_request_duration_seconds",
            "HTTP requests by route template.",
            ["method", "route", "status"],
            namespace="penstock",
            registry=registry,
            buckets=_BUCKETS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start, took = 500, time.perf_counter(), 0.0

        async def note_status(message: Message) -> None:
            nonlocal status, took
            if message["type"] == "http.response.start":
                status = message["status"]
                if _is_stream(message):
                    took = time.perf_counter() - start
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._durations.labels(method, route, status).observe(took or time.perf_counter() - start)


def _is_stream(begun: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in begun["headers"])


_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
