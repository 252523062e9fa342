"""`make bench-freshness`: how old a record is when the weights have learnt it, from the time in Kafka to the end of its
step, for models of different step times and below what they can take.

The quantiles are those of `penstock_freshness_seconds` over the measured time, interpolated within its buckets.
"""

import argparse
import itertools
import json
import math
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.pets import draw_pet, encode_pet
from streaming.demo.produce import Pace, Producer, ensure_topic
from streaming.demo.sources import Record
from streaming.records.example import encode_example
from streaming.settings import KafkaSettings
from streaming.settings_sources import load_settings
from tests.line.line import Service, lag, nap, settled

OUT = Console(stderr=True)
DRAWN = 200
LINGER_S = 0.3
WARM_UP_RECORDS = 200


class Case(NamedTuple):
    """A model and a pace of the topic."""

    name: str
    image_size: int
    width: int
    batch_size: int
    per_s: float


CASES = (
    Case("short step", 64, 4, 8, 20),
    Case("default model, 10 a second", 128, 24, 32, 10),
    Case("default model, 20 a second", 128, 24, 32, 20),
)


class Seen(NamedTuple):
    """Cumulative: records by greatest age (seconds), steps, and the seconds that they took."""

    ages: dict[float, float]
    steps: float
    step_s: float


class Found(NamedTuple):
    """Seconds, and shares of the records."""

    records: int
    step_s: float
    p50_s: float
    p95_s: float
    within: dict[str, float]
    bound_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="measured time of each case")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    wishes = parser.parse_args()
    OUT.print(f"drawing {DRAWN} pets")
    drawn = list(untimed(DRAWN))
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        found = {
            case.name: measured(case, drawn, broker.bootstrap_servers, Path(folder) / str(number), wishes.seconds)
            for number, case in enumerate(CASES)
        }
    report(found)
    if wishes.json:
        wishes.json.write_text(json.dumps({name: one._asdict() for name, one in found.items()}, indent=1))


def untimed(count: int) -> Iterator[Record]:
    """Without a time of their own: that of Kafka counts."""
    for index in range(count):
        image, mask = encode_pet(draw_pet(3, index))
        yield Record(f"pet-{index}".encode(), encode_example(image=image, mask=mask, filename=f"pet-{index}"))


def measured(case: Case, drawn: list[Record], servers: str, directory: Path, seconds: float) -> Found:
    topic = f"fresh-{case.image_size}-{case.per_s:g}"
    kafka = load_settings(flags={"kafka": {"bootstrap_servers": servers, "topic": topic}}).kafka
    ensure_topic(kafka, 2)
    settings: dict[str, object] = {"pipeline.image_size": case.image_size, "pipeline.batch_size": case.batch_size}
    settings |= {"model.width": case.width, "pipeline.linger_s": LINGER_S, "checkpoint.interval_s": 60}
    directory.mkdir()
    with Service(directory, servers, topic, settings) as service, Sending(kafka, drawn, case.per_s):
        service.until(lambda status: settled(status) >= WARM_UP_RECORDS and lag(status) <= 2 * case.per_s)
        nap(10)  # the oldest of what had gathered while it started are past
        before = seen(service)
        nap(seconds)
        after = seen(service)
    return difference(before, after)


class Sending(threading.Thread):
    """Sends at an even pace while the block runs."""

    def __init__(self, kafka: KafkaSettings, drawn: list[Record], per_s: float) -> None:
        super().__init__(daemon=True)
        self._kafka = kafka
        self._drawn = drawn
        self._per_s = per_s
        self._over = threading.Event()

    def __enter__(self) -> "Sending":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        with Producer(self._kafka) as producer:
            endless = itertools.takewhile(lambda _: not self._over.is_set(), itertools.cycle(self._drawn))
            for _ in producer.send(Pace(self._per_s)(endless)):
                pass


def seen(service: Service) -> Seen:
    text = service.exposition()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {sample.name: sample.value for sample in samples if not sample.labels}
    ages = {
        float(sample.labels["le"]): sample.value
        for sample in samples
        if sample.name == "penstock_freshness_seconds_bucket"
    }
    steps = "penstock_step_duration_seconds"
    return Seen(ages, values[f"{steps}_count"], values[f"{steps}_sum"])


def difference(before: Seen, after: Seen) -> Found:
    ages = {edge: after.ages[edge] - before.ages[edge] for edge in sorted(after.ages)}
    records = ages[math.inf]
    assert records, "nothing was trained in the measured time"
    step_s = (after.step_s - before.step_s) / (after.steps - before.steps)
    within = {f"{edge:g}": ages[edge] / records for edge in (0.6, 1.2)}
    p50_s, p95_s = quantile(ages, 0.5), quantile(ages, 0.95)
    return Found(int(records), step_s, p50_s, p95_s, within, LINGER_S + 2 * step_s + 0.3)


def quantile(ages: dict[float, float], share: float) -> float:
    """As Prometheus' histogram_quantile: even within a bucket; the last edge for what lies beyond."""
    wanted, below, edge_below = share * ages[math.inf], 0.0, 0.0
    for edge, count in ages.items():
        if count >= wanted:
            share_of_bucket = (wanted - below) / (count - below)
            return edge_below if edge == math.inf else edge_below + (edge - edge_below) * share_of_bucket
        below, edge_below = count, edge
    raise AssertionError("the last bucket holds all")


def report(found: dict[str, Found]) -> None:
    table = Table(title=f"seconds from Kafka into the weights, linger {LINGER_S:g} s")
    names = ("", "records", "step", "p50", "p95", "<= 0.6 s", "<= 1.2 s", "linger + 2 steps + 0.3 s")
    for name in names:
        table.add_column(name, justify="right" if name else "left")
    for name, one in found.items():
        shares = (f"{share:.1%}" for share in one.within.values())
        seconds = (f"{value:.2f}" for value in (one.step_s, one.p50_s, one.p95_s))
        table.add_row(name, str(one.records), *seconds, *shares, f"{one.bound_s:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
