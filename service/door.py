"""The ASGI application that uvicorn serves first: alive at once, while the real one is still being imported."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_ALIVE = {"status": "ok", "checks": [{"name": "worker", "ok": True, "detail": "the service is starting"}]}


class Door:
    """Answers /livez itself until `open()`; other requests wait for it, then go through.

    Importing FastAPI and building its routes takes longer than everything before it (0.6 s on two cores);
    an orchestrator's first probe shouldn't have to wait for that.
    """

    def __init__(self) -> None:
        self._behind: asyncio.Future[Application] | None = None

    def open(self, application: Application) -> None:
        self._future().set_result(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        behind = self._future()
        if not behind.done() and scope["type"] == "http" and scope["path"] == "/livez":
            await _alive(send, with_body=scope["method"] != "HEAD")
            return
        await (await asyncio.shield(behind))(scope, receive, send)

    def _future(self) -> asyncio.Future[Application]:
        if self._behind is None:
            self._behind = asyncio.get_running_loop().create_future()
        return self._behind


async def _alive(send: Send, *, with_body: bool) -> None:
    body = json.dumps(_ALIVE).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body if with_body else b""})
