"""The real service with a real worker process that follows a script; only Kafka is a fake."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import pytest
import structlog

from service.app import create_app
from service.composition import Service
from service.server import HttpServer
from streaming.kafka.headroom import Headroom
from streaming.settings import Settings, parse_settings
from tests.service.checkpoints import ledger_with, write

SCRIPTED_WORKER = Path(__file__).parent / "scripted_worker.py"
SCRIPTED_ERRAND = Path(__file__).parent / "scripted_errand.py"


def worker_command(lives: str, log: Path | None = None) -> list[str]:
    return [sys.executable, str(SCRIPTED_WORKER), lives, *(["--log", str(log)] if log else [])]


def errand_command(behaviours: str, directory: Path) -> list[str]:
    """directory: where the errands are counted."""
    return [sys.executable, str(SCRIPTED_ERRAND), behaviours, str(directory / "errands")]


def settings_for(directory: Path, errand_s: float = 20, **service: Any) -> Settings:
    quick = {"port": 0, "grace_s": 5, "restart_backoff_s": 0, "log_level": "error"} | service
    export = {"directory": str(directory.parent / "exports"), "timeout_s": errand_s}
    tree = {"name": "test", "checkpoint": {"directory": str(directory)}, "export": export, "service": quick}
    return parse_settings(tree)


class FakeWatermarks:
    """The log's ends, and what retention leaves of it."""

    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self.starts: dict[int, int] = {0: 0}
        self.left: dict[int, Headroom] = {}
        self.positions: Mapping[int, int] = {}
        self.dead: str | None = None

    def log_ends(self) -> Mapping[int, int]:
        return self.ends

    def log_starts(self) -> Mapping[int, int]:
        return self.starts

    def error(self) -> str | None:
        return None if self.starts else "Kafka is away"

    def failure(self) -> str | None:
        return self.dead

    def look_at(self, positions: Mapping[int, int]) -> None:
        self.positions = positions

    def headrooms(self) -> Mapping[int, Headroom]:
        return self.left


def service_with(
    settings: Settings, command: list[str], watermarks: FakeWatermarks, until: str | None = None, errands: str = "well"
) -> Service:
    """A service as in production, but for Kafka: `now` is always offset 96 of partition 0."""
    return Service(
        settings,
        command,
        until,
        lambda _: watermarks,
        lambda _: watermarks,
        lambda *_: {0: 96},
        lock_wait_s=0.3,
        errand_command=errand_command(errands, settings.checkpoint_directory.parent),
    )


class Sidecar:
    """A service on a thread of its own, with its HTTP on a free port."""

    def __init__(self, settings: Settings, lives: str, log: Path | None = None, errands: str = "well") -> None:
        self.watermarks = FakeWatermarks()
        self._settings = settings
        self._command = worker_command(lives, log)
        self._errands = errands
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10), "the service did not come up"
        self.http = httpx.Client(base_url=self.url, verify=not self.url.startswith("https"))
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._service.stop)
            self._thread.join(20)
            assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._http_server.server_state.connections)

    def status(self) -> dict[str, Any]:
        body: dict[str, Any] = self.http.get("/v1/status").json()
        return body

    def reach(self, state: str) -> dict[str, Any]:
        return eventually(lambda: (status := self.status())["state"] == state and status)

    def operation(self, response: httpx.Response) -> dict[str, Any]:
        """The operation that a 202 names, once it has ended."""
        assert response.status_code == 202, response.text
        where = response.headers["location"]
        ended = ("succeeded", "failed")
        return eventually(lambda: (body := self.http.get(where).json())["state"] in ended and body)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._service = service_with(self._settings, self._command, self.watermarks, errands=self._errands)
        server = HttpServer(create_app(self._service.parts), self._settings.service)
        server.config.port = self._settings.service.port
        self._http_server = server
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"{'https' if server.certificate else 'http'}://127.0.0.1:{port}"
        running = asyncio.create_task(self._service.run())
        self._up.set()
        await running
        server.should_exit = True
        await serving


def worker_log(directory: Path) -> list[str]:
    """What the workers of `sidecar` have received so far."""
    return (directory / "received").read_text().splitlines()


def eventually(condition: Callable[[], Any], deadline_s: float = 10.0) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """Log lines don't mix with what commands print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


class SidecarFactory(Protocol):
    def __call__(self, lives: str, errands: str = "well", **service: Any) -> Sidecar: ...


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[SidecarFactory]:
    """Starts services over one checkpoint directory; stops what a test left running."""
    started: list[Sidecar] = []

    def start(lives: str, errands: str = "well", **service: Any) -> Sidecar:
        one = Sidecar(settings_for(tmp_path / "run", **service), lives, tmp_path / "received", errands)
        started.append(one.__enter__())
        return one

    yield start
    for one in started:
        one.__exit__()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The checkpoint directory of `sidecar`."""
    return tmp_path / "run"


@pytest.fixture
def line(run: Path) -> list[str]:
    """Two checkpoints: the older one has trained [0, 10), the newer one [0, 20)."""
    return write(run, ledger_with(trained=range(10)), ledger_with(trained=range(20)))


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One service that trains, for tests that leave it as they found it."""
    directory = tmp_path_factory.mktemp("training")
    with Sidecar(settings_for(directory / "run"), "well", directory / "received") as one:
        one.reach("training")
        yield one
