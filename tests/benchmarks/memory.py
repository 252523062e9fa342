"""What a record costs in the shuffle buffer, and how far the chain reads ahead of the step.

Two chains that differ in `pipeline.shuffle_buffer` alone stand still on full buffers: the difference of their resident
memory is that of the records between.
"""

import argparse
import tempfile
from pathlib import Path

from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.profiles import Profile
from streaming.settings import Settings
from tests.benchmarks.contenders import EVERYDAY
from tests.benchmarks.contest import contest
from tests.benchmarks.rows import Row, row
from tests.benchmarks.topics import fill

SMALL, LARGE = 1024, 13_312
ROUNDS, SECONDS = 4, 3.0


def measure(wishes: argparse.Namespace) -> list[Row]:
    """Bytes a record over its raw bytes; records read and not settled, over the bound."""
    ours = EVERYDAY["ours"]
    sides = {
        f"buffer-{size}": ours._replace(environment=(("PENSTOCK_PIPELINE__SHUFFLE_BUFFER", str(size)),))
        for size in (SMALL, LARGE)
    }
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        mean_bytes = fill(broker.bootstrap_servers, Profile.FULL, image_size=128, count=wishes.records)
        environment = {"PENSTOCK_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers, "TF_CPP_MIN_LOG_LEVEL": "3"}
        *_, found = contest(sides, environment, ROUNDS, SECONDS, settling=0)
    # the first window of each begins before anything has been read
    small, large = (windows[1:] for windows in found.values())
    more = [after.said["rss"] - before.said["rss"] for before, after in zip(small, large, strict=True)]
    return [
        row(
            "memory of a record in the shuffle buffer / its bytes",
            "ratio",
            [each / (LARGE - SMALL) / mean_bytes for each in more],
            "<= 1.15",
        ),
        row("records read ahead of the step / bound", "ratio", [one.said["ahead"] / bound() for one in small], "<= 1"),
    ]


def bound() -> int:
    """Shuffle buffer, three ranges, four batches."""
    kafka, pipeline = Settings().kafka, Settings().pipeline
    return pipeline.shuffle_buffer + 3 * kafka.range_records + 4 * pipeline.batch_size
