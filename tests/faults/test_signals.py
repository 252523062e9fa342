"""SIGTERM at any moment: exit code 0 within the grace time, and nothing lost."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.kills import await_save, newest_manifest
from tests.faults.production import Production
from tests.faults.scene import settle
from tests.faults.table import Results
from tests.faults.witness import witness_record
from tests.line.line import Service

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

GRACE_S = 25.0


def doing(text: str) -> Callable[[Service], object]:
    def reached(service: Service) -> Any:
        return service.until(lambda status: text in status["worker"]["doing"])

    return reached


def training(service: Service) -> None:
    service.until(lambda status: status["state"] == "training")


def saving(service: Service) -> None:
    training(service)
    await_save(service.checkpoints)


def terminated(service: Service, reached: Callable[[Service], object], *, twice: bool = False) -> float:
    """Start it, wait for the moment, send SIGTERM: seconds until it has left with 0."""
    service.start()
    reached(service)
    began = time.monotonic()
    if twice:
        service.send(signal.SIGTERM)
    assert service.signal(signal.SIGTERM) == 0, service.log.read_text()[-3000:]
    took_s = time.monotonic() - began
    assert took_s < GRACE_S + 1
    assert service.events("worker_exited")[-1]["detail"] in ("exit code 0", "signal SIGKILL")
    return took_s


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sigterm_at_any_moment_exits_0_within_the_grace_time_and_loses_nothing(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    service = witness(name)
    took: dict[str, float] = {}
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] > 10)
        assert service.signal(signal.SIGTERM) == 0
        took["importing"] = terminated(service, doing("importing TensorFlow"))
        took["restoring"] = terminated(service, doing("building the model"))
        took["compiling"] = terminated(service, doing("compiling"))
        took["saving"] = terminated(service, saving)
        assert newest_manifest(service.checkpoints)["cause"] in ("final", "periodic")
        took["twice in a row"] = terminated(service, training, twice=True)
        sent = production.stop()
    took["blocked on an idle topic"] = terminated(service, lambda one: settle(one, servers, name))
    assert newest_manifest(service.checkpoints)["records"]["trained"] > 0
    service.start()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    for moment, took_s in took.items():
        seen = "log `worker_exited`, exit code"
        results.add(f"SIGTERM {moment}", verdict, outcome=f"exit code 0 after {took_s:.1f} s", visible=seen)
