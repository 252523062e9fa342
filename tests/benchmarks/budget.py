"""What the worker's main loop does beside its step: the main thread of a running service, sampled by py-spy.

Each sample's stack names what the loop is at; a share is of the samples that stand in a step. Waiting for the next
batch is not the loop's own doing, and a row of its own.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from streaming.demo.kafka import EmbeddedKafka
from tests.benchmarks.rows import Row, row
from tests.benchmarks.service_against_keras import DEFAULTS, produce
from tests.benchmarks.windows import UNCOUNTED_STEPS
from tests.line.line import Service, lag

SAMPLES_PER_S = 100
LOOP = "Worker.run ("
STEP = "the step"
WAITING = "waiting for a batch"
SCORING, SAVING = "scoring", "checkpoints: the copy of the weights"
EACH_STEP = "<= 0.02"
DOINGS = {
    "Trainer.step": STEP,
    "Feed.take": WAITING,
    "Worker._rest": WAITING,
    "Worker._score": SCORING,
    "Scoring.before_training": SCORING,
    "Learning.hold_out": "decoding and booking what is held out",
    "Saving.tick": SAVING,
    "Report.tick": "reporting to the sidecar",
    "Learning._stepped": "booking a batch",
    "Reading.finished_with": "settling ranges",
    "Reading.settle": "booking what ranges have shown",
    "Book.acknowledge": "letters that have arrived",
}
"""Functions by which a sample is told: the outermost that is found counts; what none of them claims is `other`."""


def measure(wishes: argparse.Namespace) -> list[Row]:
    """Shares of the step's time, a row each, dearest first; one value a window."""
    found = list(windows(wishes.rounds, wishes.seconds, wishes.records))
    total = sum(found, Counter[str]())
    return [
        row(
            f"main loop: {name} / {STEP}, time",
            "ratio",
            [window[name] / window[STEP] for window in found],
            wanted(name),
        )
        for name, _ in total.most_common()
        if name != STEP
    ]


def windows(count: int, seconds: float, records: int) -> Iterator[Counter[str]]:
    """Samples by what the main thread was doing."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        produce(broker.bootstrap_servers, records)
        with Service(Path(folder), broker.bootstrap_servers, "bench", DEFAULTS) as service:
            service.until(lambda status: status["step"] > UNCOUNTED_STEPS)
            for number in range(count):
                yield doings(sampled(service.status()["worker"]["pid"], seconds, Path(folder) / f"{number}.txt"))
            assert lag(service.status()), "the topic ran dry: give --records more"


def sampled(pid: int, seconds: float, file: Path) -> list[str]:
    """Stacks, outermost frame first, and how often each was seen."""
    what = ["--pid", str(pid), "--duration", str(round(seconds)), "--rate", str(SAMPLES_PER_S)]
    spy = str(Path(sys.executable).with_name("py-spy"))
    command = [spy, "record", "--idle", "--threads", "--format", "raw", "--output", str(file), *what]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return file.read_text().splitlines()


def doings(stacks: Iterable[str]) -> Counter[str]:
    """stacks: `frame;frame;… samples`."""
    found: Counter[str] = Counter()
    for stack in stacks:
        frames, _, samples = stack.rpartition(" ")
        if LOOP in frames:
            found[doing(frames.split(";"))] += int(samples)
    return found


def doing(frames: Iterable[str]) -> str:
    for frame in frames:
        if (name := DOINGS.get(frame.partition(" ")[0])) is not None:
            return name
    return "other"


def wanted(name: str) -> str:
    """The budget is for what every step pays."""
    return "" if name in (WAITING, SCORING, SAVING) else EACH_STEP
