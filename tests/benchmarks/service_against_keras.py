"""The service with its whole line against a bare Keras loop of the same model, in alternating windows.

One run, one machine, both sides resident: while one side's window runs the other is paused or waits on its pipe. The
service reads 500x375 JPEGs with PNG trimaps from a real Kafka, through all of its defaults but evaluation; the loop is
`model.fit` on arrays in memory. Both count the time between the first and the last counted step of a window.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.produce import Producer, ensure_topic
from streaming.demo.synthetic import synthetic
from streaming.settings import Settings
from streaming.settings_sources import load_settings
from streaming.settings_tree import leaves
from tests.benchmarks.rows import Row, row
from tests.benchmarks.windows import UNCOUNTED_STEPS, quotients, ratio
from tests.line.line import Service, lag, nap

DRAWN = 400
OUT = Console(stderr=True)


# The service's own defaults; `Service` has smaller ones for tests.
NAMES: tuple[str, ...] = (
    "pipeline.image_size",
    "pipeline.batch_size",
    "pipeline.linger_s",
    "model.width",
    "checkpoint.interval_s",
)
NAMES += ("evaluation.fraction", "evaluation.every_batches")
DEFAULTS: dict[str, object] = {leaf.name: leaf.value for leaf in leaves(Settings()) if leaf.name in NAMES}
OFF: dict[str, object] = {"evaluation.fraction": 0, "evaluation.every_batches": 0}


def main() -> None:
    wishes = arguments()
    settings: dict[str, object] = {"pipeline.image_size": wishes.image_size, "pipeline.batch_size": wishes.batch_size}
    settings["model.width"] = wishes.width
    report(wishes, *compare(settings | OFF, wishes.windows, wishes.seconds, wishes.records))


def measure(wishes: argparse.Namespace) -> list[Row]:
    """Rates of the service over those of the loop, evaluation off."""
    found = quotients(*compare(OFF, wishes.rounds, wishes.seconds, wishes.records))
    return [row("service / bare Keras, evaluation off, images/s", "ratio", found, ">= 0.97")]


def measure_with_evaluation(wishes: argparse.Namespace) -> list[Row]:
    """The same with the default evaluation."""
    found = quotients(*compare({}, wishes.rounds, wishes.seconds, wishes.records))
    return [row("service / bare Keras, evaluation as by default, images/s", "ratio", found)]


def compare(wanted: dict[str, object], windows: int, seconds: float, records: int) -> tuple[list[float], list[float]]:
    """Images a second of the service and of the loop, pairs of windows. wanted: settings that aren't the defaults."""
    settings = DEFAULTS | wanted
    batch_size = int(str(settings["pipeline.batch_size"]))
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        produce(broker.bootstrap_servers, records)
        with Service(Path(folder), broker.bootstrap_servers, "bench", settings) as service, Keras(settings) as keras:
            service.until(lambda status: status["step"] > UNCOUNTED_STEPS)
            service.post("/v1/pause").raise_for_status()
            keras.window(5)
            ours, theirs = [], []
            for number in range(windows):
                ours.append(service_window(service, seconds, batch_size))
                theirs.append(keras.window(seconds))
                OUT.print(f"window {number + 1}: service {ours[-1]:.1f} images/s, bare Keras {theirs[-1]:.1f}")
            left = lag(service.status())
    assert left, "the topic ran dry: give --records more"
    return ours, theirs


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=7, help="pairs of windows")
    parser.add_argument("--seconds", type=float, default=20, help="length of a window")
    parser.add_argument("--records", type=int, default=20_000, help="records in the topic")
    parser.add_argument("--image-size", type=int, default=128, help="pipeline.image_size")
    parser.add_argument("--batch-size", type=int, default=32, help="pipeline.batch_size")
    parser.add_argument("--width", type=int, default=24, help="model.width")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    return parser.parse_args()


def produce(servers: str, count: int) -> None:
    """A few hundred drawn pets, over and over."""
    kafka = load_settings(flags={"kafka": {"bootstrap_servers": servers, "topic": "bench"}}).kafka
    ensure_topic(kafka, 4)
    OUT.print(f"drawing {DRAWN} pets, sending {count} records")
    drawn = list(synthetic(seed=1, count=DRAWN))
    with Producer(kafka) as producer:
        for _ in track(producer.send(itertools.islice(itertools.cycle(drawn), count)), "sending", count, console=OUT):
            pass


def service_window(service: Service, seconds: float, batch_size: int) -> float:
    """Images a second while the service is resumed for so long."""
    service.post("/v1/resume").raise_for_status()
    began = time.monotonic()
    with httpx.Client(base_url=service.url) as client:
        step = client.get("/v1/status").json()["step"]
        first_at, first = next_step(client, step + UNCOUNTED_STEPS)
        nap(max(0.0, seconds - (time.monotonic() - began)))  # asking costs the service something, too
        step = client.get("/v1/status").json()["step"]
        last_at, last = next_step(client, step + 1)
    service.post("/v1/pause").raise_for_status()
    service.until(lambda status: status["state"] == "paused")
    return (last - first) * batch_size / (last_at - first_at)


def next_step(client: httpx.Client, step: int) -> tuple[float, int]:
    """When the status first shows this step, or a later one."""
    while (found := client.get("/v1/status").json()["step"]) < step:
        nap(0.02)
    return time.monotonic(), found


class Keras:
    """The bare loop, in a process of its own."""

    def __init__(self, settings: dict[str, object]) -> None:
        named = {f"PENSTOCK_{name.upper().replace('.', '__')}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", "tests.benchmarks.bare_keras"]
        self._process = subprocess.Popen(
            command, env=os.environ | named, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Keras":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def window(self, seconds: float) -> float:
        """Images a second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(seconds, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return float(answer["images"] / answer["seconds"])


def report(wishes: argparse.Namespace, ours: list[float], theirs: list[float]) -> None:
    found = ratio(ours, theirs)
    table = Table(
        title=f"{wishes.image_size} pixels, batch {wishes.batch_size}, {wishes.windows} x {wishes.seconds:g} s"
    )
    for name in ("", "median", "min", "max"):
        table.add_column(name, justify="right" if name else "left")
    for name, rates in (("service, images/s", ours), ("bare Keras, images/s", theirs)):
        table.add_row(name, *(f"{value:.1f}" for value in (median(rates), min(rates), max(rates))))
    table.add_row("service / bare Keras", *(f"{value:.3f}" for value in found))
    Console().print(table)
    if wishes.json:
        wishes.json.write_text(json.dumps({"service": ours, "bare_keras": theirs, "ratio": found._asdict()}, indent=1))


if __name__ == "__main__":
    main()
