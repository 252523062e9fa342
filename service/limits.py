"""What a request must keep to before a route sees it: a host name of ours, a body of bounded size, a free place."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.hosts import Hosts
from service.problems import HttpProblem
from streaming.settings import ServiceSettings

OPEN = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
"""Whoever watches calls a pod by its address, and has to see it most of all when it is overrun."""
RETRY_AFTER_S = 1


class Limits:
    """ASGI middleware. uvicorn's own `limit_concurrency` counts idle connections, too, and refuses probes with 503.

    FastAPI's own `max_body_size` answers 413 in plain text, outside of all middleware.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, max_body_bytes: int) -> None:
        self._app = app
        self._hosts = Hosts(settings)
        self._most = settings.max_requests
        self._max_body_bytes = max_body_bytes
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await problems.response(refusal.details, refusal.headers)(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, self._counted(receive), send)
        finally:
            self._under_way -= 1

    def _counted(self, receive: Receive) -> Receive:
        """A body that doesn't say how long it is ends where it is too long."""
        left = self._max_body_bytes

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return receive_some

    @property
    def _too_large(self) -> str:
        return f"a body may have {self._max_body_bytes} bytes"

    def _refusal(self, scope: Scope) -> HttpProblem | None:
        headers = dict(scope["headers"])
        host, length = headers.get(b"host", b"").decode("latin-1"), headers.get(b"content-length", b"0")
        if not self._hosts.known(host):
            text = f"this service isn't called {host!r}: name it in service.allowed_hosts, or call it by its address"
            return HttpProblem(HTTPStatus.FORBIDDEN, "foreign-host", text)
        if int(length) > self._max_body_bytes:
            return HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large", self._too_large)
        if self._under_way >= self._most:
            text = f"{self._most} requests are under way; ask again later"
            retry = {"Retry-After": str(RETRY_AFTER_S)}
            return HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", text, retry)
        return None
