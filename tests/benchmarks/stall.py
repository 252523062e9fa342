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
    settings: dict[str, object] = {"pipeline.image_size": 64, "pipeline.batch_size": 16, "model.width": wishes.width}
    settings |= {"checkpoint.interval_s": 1e6, "evaluation.fraction": 0, "evaluation.every_batches": 0}
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        produce(broker.bootstrap_servers, wishes.records)
        with Service(Path(folder), broker.bootstrap_servers, "bench", settings) as service:
            service.until(lambda status: status["step"] > 3)
            steps = Steps(service.url)
            steps.start()
            saves = []
            for _ in range(wishes.saves):
                began = time.monotonic()
                service.checkpoint()
                saves.append((began, time.monotonic()))
                nap(2.5)
            steps.stop()
            committed = service.events("checkpoint_committed")[-wishes.saves :]
    report(committed, steps.times, saves)


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
