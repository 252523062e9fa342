"""Each state of the service, reached by signals and a frozen broker, against the README's table of the probes."""

import os
import re
import signal
import threading
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from streaming.demo.kafka import EmbeddedKafka
from tests.conftest import TopicFactory
from tests.line.line import Service, produce, record

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

README = Path(__file__).parents[2] / "README.md"
PROBES = ("/livez", "/readyz", "/startupz")


class Answers(NamedTuple):
    live: int
    ready: int
    started: int


class Observer:
    """Asks for state and probes all the time, on a thread; keeps what was seen while the state stood still."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._restored = False
        self.seen: dict[str, set[Answers]] = defaultdict(set)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._service.url, timeout=10) as http:
            while not self._stopped.wait(0.01):
                try:
                    before = self._state(http)
                    answers = Answers(*(http.get(probe).status_code for probe in PROBES))
                    after = self._state(http)
                except httpx.TransportError:
                    continue
                if before == after and before is not None:
                    self.seen[before].add(answers)

    def _state(self, http: httpx.Client) -> str | None:
        answer = http.get("/v1/status")
        if answer.status_code != httpx.codes.OK:  # the door isn't open yet
            return None
        status = answer.json()
        state = str(status["state"])
        if state in ("starting", "restoring"):
            return f"{state}, again" if self._restored else state
        self._restored = True
        return f"{state}, degraded" if status["degraded"] else state


def documented() -> dict[str, set[Answers]]:
    """The README's table."""
    rows = re.findall(r"^ *\| `(\w+)`(, \w+)? \| (\d+) \| (\d+) \| (\d+) \|", README.read_text(), re.MULTILINE)
    return {f"{state}{which}": {Answers(*map(int, answers))} for state, which, *answers in rows}


def test_probes_answer_in_each_state_as_the_table_says(
    killable_kafka: EmbeddedKafka, topic: TopicFactory, tmp_path: Path
) -> None:
    name = topic(1)
    settings = {
        "checkpoint.interval_s": 3600,
        "service.restart_budget": 2,
        "service.restart_backoff_s": 2,
        "service.on_failed": "stay",
    }
    with Service(tmp_path, killable_kafka.bootstrap_servers, name, settings) as service, Observer(service) as observer:
        produce(killable_kafka.bootstrap_servers, name, [record(n) for n in range(100)])
        service.until(lambda status: status["state"] == "training")
        service.until(lambda status: status["state"] == "waiting")
        service.post("/v1/pause")
        service.until(lambda status: status["state"] == "paused")
        service.post("/v1/resume")
        service.until(lambda status: status["state"] == "waiting")
        killable_kafka.freeze()
        service.until(lambda _: observer.seen["waiting, degraded"])
        killable_kafka.thaw()
        worker = service.until(lambda status: status["degraded"] is None)["worker"]["pid"]
        os.kill(worker, signal.SIGSTOP)
        service.post("/v1/stop")
        service.until(lambda _: observer.seen["draining"])
        os.kill(worker, signal.SIGCONT)
        service.until(lambda _: observer.seen["stopped"])
        service.post("/v1/start")
        service.until(lambda status: status["state"] == "waiting")
        for _ in range(3):
            pid = service.until(lambda status, before=worker: status["worker"]["pid"] not in (None, before))
            worker = pid["worker"]["pid"]
            os.kill(worker, signal.SIGKILL)
        service.until(lambda _: observer.seen["failed"])
    assert observer.seen == documented()
