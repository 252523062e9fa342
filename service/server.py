"""The sidecar's process: it listens first, then imports the rest, then runs the service until it ends."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from service.door import Application, Door
from streaming.settings import Settings
from streaming.settings_sources import NOTHING_GIVEN, Origins

WORKER = (sys.executable, "-m", "streaming", "worker")
LOCK_WAIT_S = 30.0


class CannotListen(Exception):
    """The address is taken, unknown or not allowed; one sentence."""


def serve(
    settings: Settings,
    until: str | None = None,
    command: Sequence[str] = WORKER,
    lock_wait_s: float = LOCK_WAIT_S,
    origins: Origins = NOTHING_GIVEN,
) -> int:
    """Run until a signal, the end of a bounded run or a failure; the exit code. Raises CannotListen.

    origins: who gave which of the settings."""
    with _listen(settings.service.host, settings.service.port) as listener:
        return asyncio.run(_serve(settings, listener, until, command, lock_wait_s, origins))


async def _serve(
    settings: Settings,
    listener: socket.socket,
    until: str | None,
    command: Sequence[str],
    lock_wait_s: float,
    origins: Origins,
) -> int:
    signals = _Signals()
    door = Door()
    http = HttpServer(door)
    serving = asyncio.create_task(http.serve([listener]))
    composition = await asyncio.to_thread(importlib.import_module, "service.composition")
    service, application = await asyncio.to_thread(composition.build, settings, command, until, lock_wait_s, origins)
    _log_address(listener)
    door.open(application)
    signals.connect(service.stop)
    try:
        code: int = await service.run()
    finally:
        http.should_exit = True
        await serving
    if not service.at_rest:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a thread hashes, or waits for a mount: neither asyncio nor the interpreter ends without it
    return code


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: HTTP stays up while the worker shuts down."""

    def __init__(self, app: Application) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Signals:
    """SIGTERM and SIGINT ask the service to stop; those that come before there is one are kept for it."""

    def __init__(self) -> None:
        self._early = 0
        self._stop: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received)

    def connect(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        for _ in range(self._early):
            stop()

    def _received(self) -> None:
        if self._stop is None:
            self._early += 1
        else:
            self._stop()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotListen(f"can't listen on {host}:{port}: {error.strerror or error}") from error
    return listener


def _log_address(listener: socket.socket) -> None:
    import structlog  # takes 0.2 s to import, with rich behind it: not before /livez

    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    structlog.get_logger().info("http_listening", url=f"http://{name}:{port}")
