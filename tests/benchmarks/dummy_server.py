"""A server that does nothing: what a load costs whatever it is aimed at. Prints its port."""

import asyncio
import socket
from typing import Any

import uvicorn

BODY = b" " * 4096


async def application(scope: Any, receive: Any, send: Any) -> None:
    del scope, receive
    headers = [(b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(application, lifespan="off", http="h11", log_level="critical")
        asyncio.run(uvicorn.Server(config).serve([listener]))


if __name__ == "__main__":
    main()
