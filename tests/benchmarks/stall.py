"""`make bench-stall`: how long training stands still for a checkpoint, and how much a save in the background slows it.

A service trains while checkpoints are asked for one after the other. Stalls are the worker's own figures; the time
between steps is seen from outside, apart for steps during which a save ran and for the others.
"""

import argparse
import itertools
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from streaming.demo.kafka import EmbeddedKafka
from tests.benchmarks.rows import Row, row
from tests.benchmarks.service_against_keras import produce
from tests.line.line import Service, nap

OUT = Console(stderr=True)
WIDTH = 144  # 79 MB of variables, the optimizer's among them, at 64 x 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=100, help="checkpoints to take")
    parser.add_argument("--records", type=int, default=20_000, help="records in the topic")
    parser.add_argument("--width", type=int, default=WIDTH, help="model.width")
    wishes = parser.parse_args()
    committed, times, saves = take(wishes.saves, wishes.records, wishes.width)
    report(committed, times, saves)


def measure(wishes: argparse.Namespace) -> list[Row]:
    """Milliseconds that training stands still for a checkpoint."""
    committed, _, _ = take(wishes.saves, wishes.records, WIDTH)
    megabytes = committed[-1]["size_bytes"] / 1e6
    stalls = [1000 * save["stall_s"] for save in committed]
    return [row(f"training stands still for a checkpoint of {megabytes:.0f} MB", "ms", stalls)]


def take(saves: int, records: int, width: int) -> tuple[list[dict[str, float]], list[float], list[tuple[float, float]]]:
    """The worker's own figures of each checkpoint, when steps were seen, and between when and when each save ran."""
    settings: dict[str, object] = {"pipeline.image_size": 64, "pipeline.batch_size": 16, "model.width": width}
    settings |= {"checkpoint.interval_s": 1e6, "evaluation.fraction": 0, "evaluation.every_batches": 0}
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        produce(broker.bootstrap_servers, records)
        with Service(Path(folder), broker.bootstrap_servers, "bench", settings) as service:
            service.until(lambda status: status["step"] > 3)
            steps = Steps(service.url)
            steps.start()
            taken = []
            for _ in range(saves):
                began = time.monotonic()
                service.checkpoint()
                taken.append((began, time.monotonic()))
                nap(2.5)
            steps.stop()
            return service.events("checkpoint_committed")[-saves:], steps.times, taken


class Steps(threading.Thread):
    """When each step was first seen."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._stopped = threading.Event()
        self.times: list[float] = []

    def run(self) -> None:
        seen = None
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self._stopped.wait(0.02):
                step = client.get("/v1/status").json()["step"]
                if step != seen:
                    seen = step
                    self.times.append(time.monotonic())

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def report(committed: list[dict[str, float]], times: list[float], saves: list[tuple[float, float]]) -> None:
    during, apart = [], []
    for before, after in itertools.pairwise(times):
        saving = any(began < after and before < ended for began, ended in saves)
        (during if saving else apart).append(after - before)
    table = Table(title=f"{len(committed)} checkpoints of {committed[-1]['size_bytes'] / 1e6:.0f} MB, milliseconds")
    for name in ("", "count", "median", "99th percentile", "max"):
        table.add_column(name, justify="right" if name else "left")
    rows = {
        "training stands still for the copy": [save["stall_s"] for save in committed],
        "between steps, no save running": apart,
        "between steps, a save running": during,
        "a save, from copy to durable": [save["duration_s"] for save in committed],
    }
    for name, values in rows.items():
        figures = np.median(values), np.quantile(values, 0.99), max(values)
        table.add_row(name, str(len(values)), *(f"{value * 1000:.0f}" for value in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
