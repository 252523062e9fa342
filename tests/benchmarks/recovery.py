"""`make bench-recovery`: from SIGKILL to the next trained record, against a fresh process that takes one step.

One run, alternating: the worker of a service under load is killed right after a checkpoint, and timed until its
successor has trained; then, with the service paused, a bare process is timed from its start to its first step of the
same model on a batch in memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from streaming.demo.kafka import EmbeddedKafka
from tests.benchmarks.rows import Row, row
from tests.benchmarks.service_against_keras import produce
from tests.benchmarks.windows import ratio
from tests.line.line import DEADLINE_S, Service, nap

OUT = Console(stderr=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="kills, and fresh processes")
    parser.add_argument("--records", type=int, default=12_000, help="records in the topic")
    wishes = parser.parse_args()
    report(*compare(wishes.rounds, wishes.records))


def measure(wishes: argparse.Namespace) -> list[Row]:
    """Seconds from SIGKILL, and from a process' start, to a step."""
    ours, theirs = compare(wishes.rounds, wishes.records)
    return [
        row("SIGKILL to the next trained record", "s", ours),
        row("fresh process to its first step", "s", theirs),
    ]


def compare(rounds: int, records: int) -> tuple[list[float], list[float]]:
    """Seconds of recoveries and of fresh processes, alternating."""
    settings: dict[str, object] = {"pipeline.image_size": 128, "pipeline.batch_size": 32, "model.width": 24}
    settings |= {"pipeline.linger_s": 30, "checkpoint.interval_s": 60, "evaluation.fraction": 0.02}
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        produce(broker.bootstrap_servers, records)
        fresh_process(settings)  # what both sides read from disk is in memory now
        with Service(Path(folder), broker.bootstrap_servers, "bench", settings) as service:
            service.until(lambda status: status["step"] > 3)
            for number in range(rounds):
                ours.append(kill_and_recover(service))
                service.post("/v1/pause").raise_for_status()
                service.until(lambda status: status["state"] == "paused")
                theirs.append(fresh_process(settings))
                service.post("/v1/resume").raise_for_status()
                OUT.print(f"round {number + 1}: recovery {ours[-1]:.2f} s, fresh process {theirs[-1]:.2f} s")
    return ours, theirs


def report(ours: list[float], theirs: list[float]) -> None:
    table = Table(title=f"{len(ours)} rounds, seconds")
    for name in ("", "median", "min", "max"):
        table.add_column(name, justify="right" if name else "left")
    for name, values in (("SIGKILL to the next trained record", ours), ("fresh process to its first step", theirs)):
        table.add_row(name, *(f"{value:.2f}" for value in (median(values), min(values), max(values))))
    table.add_row("ratio", *(f"{value:.3f}" for value in ratio(ours, theirs)))
    Console().print(table)


def kill_and_recover(service: Service) -> float:
    """Seconds from SIGKILL until the successor's first step shows in the status."""
    begun = service.status()["step"]
    service.until(lambda status: status["step"] > begun)
    saved = service.get(f"/v1/checkpoints/{service.checkpoint()}")["step"]
    with httpx.Client(base_url=service.url, timeout=10) as client:
        killed = service.kill_worker()
        began = time.monotonic()
        while time.monotonic() - began < DEADLINE_S:
            status = client.get("/v1/status").json()
            if status["worker"]["pid"] not in (None, killed) and status["step"] > saved:
                return time.monotonic() - began
            nap(0.02)
    raise AssertionError(f"not recovered: {service.status()}")


def fresh_process(settings: dict[str, object]) -> float:
    """Seconds from its start to its first step."""
    named = {f"PENSTOCK_{name.upper().replace('.', '__')}": str(value) for name, value in settings.items()}
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.benchmarks.first_step"]
    with subprocess.Popen(command, env=os.environ | named, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stepped\n"
        return time.monotonic() - began


if __name__ == "__main__":
    main()
