"""A disk that is full or fails: training goes on, it is told, and the first save after it succeeds."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from streaming.checkpoints.store import CheckpointStore
from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.production import Production
from tests.faults.scene import settle
from tests.faults.table import Results
from tests.faults.tracing import attached, needs_strace
from tests.faults.visible import Lookout
from tests.faults.witness import witness_record
from tests.line.line import Service

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

SIZE_MB = 8
FILLER = "filler"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB in the place of the checkpoints' folder."""
    mount = tmp_path / "checkpoints"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting isn't permitted here")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Whatever becomes free is taken at once."""
    over = threading.Event()

    def fill() -> None:
        with (disk / FILLER).open("wb", buffering=0) as file:
            while not over.wait(0.02):
                with suppress(OSError):
                    while file.write(bytes(1 << 16)):
                        pass

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield
    finally:
        over.set()
        filling.join()
        (disk / FILLER).unlink()


def refusing(service: Service, call: str) -> AbstractContextManager[None]:
    """Every such system call of the worker fails with EIO."""
    return attached(service.status()["worker"]["pid"], Path("/dev/null"), f"{call}:error=EIO")


def degraded(status: Any) -> bool:
    return bool(status["degraded"]) and status["degraded"]["reason"] == "checkpoint-failing"


def through(service: Service, fault: AbstractContextManager[None]) -> tuple[str, float]:
    """What of the fault was seen where, and the seconds from its end to the next durable checkpoint."""
    lookout = Lookout(service)
    with fault:
        seen = lookout.sees(status=degraded, event="checkpoint_failed", metric="penstock_checkpoint_failures_total")
        trained = service.status()["records"]["trained"]
        service.until(lambda status: status["records"]["trained"] > trained + 20)
    ended = time.monotonic()
    service.until(lambda status: status["degraded"] is None, 30)
    assert service.events("problem_over")
    newest, passed_over = CheckpointStore(service.checkpoints).newest_valid()
    assert newest is not None
    assert passed_over == []
    return seen, time.monotonic() - ended


@needs_strace
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_a_failing_disk_training_goes_on_and_the_next_save_after_it_succeeds(
    small_disk: Path,
    kafka: Broker,
    topic: TopicFactory,
    witness: ServeWitness,
    results: Results,
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    service = witness(name, {"checkpoint.keep": 2, "checkpoint.keep_hourly": 0, "checkpoint.keep_daily": 0})
    found = {}
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] > 10)
        found["disk full"] = through(service, full(small_disk))
        found["failed fsync"] = through(service, refusing(service, "fsync"))
        found["failed rename"] = through(service, refusing(service, "rename"))
        assert service.status()["worker"]["restarts"] == 0
        service.kill_worker()
        service.until(lambda status: status["worker"]["restarts"] == 1 and status["state"] == "training")
        sent = production.stop()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    for fault, (seen, recovery_s) in found.items():
        outcome = "training went on, the next save succeeded, as a kill afterwards showed"
        results.add(fault, verdict, recovery_s=recovery_s, outcome=outcome, visible=seen)
