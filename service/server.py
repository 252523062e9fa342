"""The sidecar's process: it listens first, then imports the rest, then runs the service until it ends."""

import asyncio
import contextlib
import functools
import importlib
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from service.connection import HEAD_BYTES, Connection
from service.door import Application, Door
from service.tls import certificate
from streaming.settings import ServiceSettings, Settings
from streaming.settings_sources import NOTHING_GIVEN, Origins

WORKER = (sys.executable, "-m", "streaming", "worker")
LOCK_WAIT_S = 30.0
RENEWAL_TICKS = 600  # of uvicorn's 0.1 s: so often is looked whether the certificate was renewed
DESCRIPTORS = 8192  # asyncio takes in a whole flood before any of it can be dropped, and without any left it stalls
SAFE = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]


class CannotListen(Exception):
    """The address is taken, unknown or not allowed; one sentence."""


def serve(
    settings: Settings,
    until: str | None = None,
    command: Sequence[str] = WORKER,
    lock_wait_s: float = LOCK_WAIT_S,
    origins: Origins = NOTHING_GIVEN,
) -> int:
    """Run until a signal, the end of a bounded run or a failure; the exit code. origins: who gave which setting.

    Raises CannotListen, and SettingsError for a certificate that can't be used.
    """
    _allow_descriptors()
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
    http = HttpServer(door, settings.service)
    serving = asyncio.create_task(http.serve([listener]))
    composition = await asyncio.to_thread(importlib.import_module, "service.composition")
    systemd = importlib.import_module("service.systemd")
    service, application = await asyncio.to_thread(composition.build, settings, command, until, lock_wait_s, origins)
    _log_address(listener, "https" if http.certificate else "http")
    door.open(application)
    signals.connect(service.stop)
    try:
        async with systemd.told_to_systemd(service.view):
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
    """uvicorn without its signal handlers, so that HTTP stays up while the worker shuts down; bounded in all respects.

    certificate: None for plain HTTP. Raises SettingsError for one that can't be used.
    """

    def __init__(self, app: Application, settings: ServiceSettings) -> None:
        self.certificate = certificate(settings)
        connection: Any = functools.partial(Connection, patience_s=settings.request_timeout_s)
        super().__init__(
            uvicorn.Config(
                app,
                http=connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                headers=SAFE,
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=HEAD_BYTES,
                ssl_context_factory=self._context if self.certificate else None,
            )
        )

    def _context(self, *_: object) -> ssl.SSLContext:
        assert self.certificate is not None
        return self.certificate.context

    async def on_tick(self, counter: int) -> bool:
        if self.certificate is not None and counter % RENEWAL_TICKS == 0:
            self.certificate.refresh(_log_renewal_failure)
        return await super().on_tick(counter)

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


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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


def _log_address(listener: socket.socket, scheme: str) -> None:
    import structlog  # takes 0.2 s to import, with rich behind it: not before /livez

    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    structlog.get_logger().info("http_listening", url=f"{scheme}://{name}:{port}")


def _log_renewal_failure(detail: str) -> None:
    import structlog

    structlog.get_logger().error("certificate_not_renewed", detail=detail)
