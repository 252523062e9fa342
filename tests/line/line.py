"""A real service on a real topic, as a user starts it, and what the tests of the whole line ask of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import simplejpeg
from kafka import KafkaProducer

from service.routes.metrics import KEPT_S
from streaming.demo.ports import free_port
from streaming.records.example import encode_example

DEADLINE_S = 240.0  # a worker takes 12 s to start, 90 on two busy cores
HERE = Path(__file__).parent
PENSTOCK = str(Path(sys.executable).parent / "penstock")
SMALL = {"pipeline.image_size": 16, "pipeline.batch_size": 8, "pipeline.linger_s": 0.5, "model.width": 4}


class Service:
    """`python -m service` with small pictures and a model that compiles quickly."""

    def __init__(
        self,
        directory: Path,
        servers: str,
        topic: str,
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.checkpoints = directory / "checkpoints"
        self.log = directory / "service.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        tree = {
            "kafka.bootstrap_servers": servers,
            "kafka.topic": topic,
            "name": topic,
            "checkpoint.directory": self.checkpoints,
            "checkpoint.interval_s": 1,
            "evaluation.fraction": 0.1,
            "service.port": port,
            **SMALL,
            **(settings or {}),
        }
        self._settings = {f"PENSTOCK_{name.upper().replace('.', '__')}": str(value) for name, value in tree.items()}
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def start(self, *command: str) -> None:
        """`command` after `penstock`; the service itself unless given."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        environment |= self._settings | {"PYTHONPATH": str(HERE)} | self._environment
        with self.log.open("ab") as log:
            arguments = [PENSTOCK, *command] if command else [sys.executable, "-m", "service"]
            self._process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """The sidecar's."""
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """The settings as variables."""
        return self._settings | self._environment

    def send(self, number: signal.Signals) -> None:
        """Send it to the sidecar."""
        assert self._process is not None
        self._process.send_signal(number)

    def signal(self, number: signal.Signals) -> int:
        """Send it to the sidecar and wait; its exit code."""
        assert self._process is not None
        self.send(number)
        return self._process.wait(60)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(DEADLINE_S)

    def kill_worker(self) -> int:
        """SIGKILL for the worker; its pid."""
        pid = self.status()["worker"]["pid"]
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    def status(self) -> Any:
        return httpx.get(f"{self.url}/v1/status", timeout=10).raise_for_status().json()

    def until(self, holds: Callable[[Any], object], deadline_s: float = DEADLINE_S) -> Any:
        """The first status for which `holds`; fails with the last one and the log's end."""
        deadline, status = time.monotonic() + deadline_s, None
        while time.monotonic() < deadline:
            try:
                status = self.status()
            except httpx.TransportError:
                if self._process is None or self._process.poll() is not None:
                    break
            else:
                if holds(status):
                    return status
            nap()
        raise AssertionError(f"never came true; last: {json.dumps(status)}\n{self.log.read_text()[-4000:]}")

    def settled(self, records: int) -> Any:
        """Wait until so many records are settled and the lag is 0."""
        return self.until(lambda status: settled(status) >= records and lag(status) == 0)

    def post(self, path: str, **body: object) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=10)

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=10).raise_for_status().json()

    def exposition(self) -> str:
        """/metrics as it is now: what was rendered before holds for a second."""
        nap(KEPT_S)
        return httpx.get(f"{self.url}/metrics", timeout=10).raise_for_status().text

    def checkpoint(self) -> str:
        """Take one over HTTP; its id. Its label is its own: else it might join one that was begun before."""
        answer = self.post("/v1/checkpoints", label=f"test {time.monotonic_ns()}")
        assert answer.status_code == 202, answer.text
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            operation = self.get(answer.headers["Location"])
            if operation["state"] == "succeeded":
                return str(operation["result"]["checkpoint_id"])
            assert operation["state"] in ("queued", "running"), operation
            nap()
        raise AssertionError(f"checkpoint never taken: {operation}")

    def events(self, name: str) -> list[Any]:
        """Log events of that name so far."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]


def nap(seconds: float = 0.05) -> None:
    """Between two polls of a condition with a deadline."""
    signal.sigtimedwait([], seconds)


def settled(status: Any) -> int:
    return sum(count for kind, count in status["records"].items() if kind != "fetched")


def lag(status: Any) -> int | None:
    lags = [partition["lag"] for partition in status["partitions"]]
    return None if not lags or None in lags else sum(lags)


def picture(number: int, size: int = 24) -> tuple[bytes, bytes]:
    """A small JPEG and its PNG mask: a bright square on dark ground, somewhere."""
    import cv2

    rng = np.random.default_rng(number)
    image = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
    mask = np.ones((size, size), np.uint8)
    row, column = rng.integers(0, size // 2, 2)
    image[row : row + size // 2, column : column + size // 2] += 150
    mask[row : row + size // 2, column : column + size // 2] = 0
    return simplejpeg.encode_jpeg(image), cv2.imencode(".png", mask)[1].tobytes()


def record(number: int) -> bytes:
    """A good record's value."""
    image, mask = picture(number)
    return encode_example(image=image, mask=mask, event_time_ms=int(time.time() * 1000))


def produce(
    servers: str, topic: str, values: Iterable[bytes | None], partitions: int = 1, transaction: bool | None = None
) -> int:
    """Send values round-robin; transaction: commit (True) or abort (False) one around them. Returns how many."""
    options = {"transactional_id": f"tests-{time.monotonic_ns()}"} if transaction is not None else {}
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", **options)
    if transaction is not None:
        producer.init_transactions()
        producer.begin_transaction()
    futures = [
        producer.send(topic, value, key=str(n).encode(), partition=n % partitions) for n, value in enumerate(values)
    ]
    for future in futures:
        future.get(timeout=30)
    if transaction is not None:
        producer.commit_transaction() if transaction else producer.abort_transaction()
    producer.close()
    return len(futures)
