"""`make bench-gate`: has an image become dearer? CPU time of ours and of the plain chain, against the recorded ratio.

CPU time says what a record costs whatever else the machine does, so short windows will do; the ratio to a chain that
stays the same makes machines comparable. Fails when the median ratio of a profile is below the recorded one by more
than the margin. Outside CI: its machines share their cores.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streaming.demo.kafka import EmbeddedKafka
from tests.benchmarks.__main__ import shared_environment
from tests.benchmarks.contenders import BASELINE, EVERYDAY
from tests.benchmarks.contest import contest
from tests.benchmarks.results import FOLDER, digest, summary
from tests.benchmarks.topics import fill

MARGIN = 0.08  # medians of repeated runs on two busy cores lie within 0.04 of one another
SIDES = ("ours", "ours-small-mask", "ours-small-jpeg", "ours-raw")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="which to look at")
    parser.add_argument("--rounds", type=int, default=5, help="windows of each side")
    parser.add_argument("--seconds", type=float, default=4, help="length of a window")
    parser.add_argument("--records", type=int, default=8_000, help="records in each topic")
    parser.add_argument("--recorded", type=Path, default=FOLDER / "feed.json", help="what `make bench` wrote")
    wishes = parser.parse_args()
    if not wishes.recorded.exists():
        sys.exit(f"{wishes.recorded} isn't there: run `make bench` and commit its results")
    recorded = json.loads(wishes.recorded.read_text())
    if recorded["baseline"]["sha256"] != digest():
        sys.exit(f"{recorded['baseline']['file']} isn't the one of the record: run `make bench` and commit its results")
    sides = {name: EVERYDAY[name] for name in (BASELINE, *wishes.sides)}
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        for profile in {side.profile for side in sides.values()}:
            fill(broker.bootstrap_servers, profile, image_size=128, count=wishes.records)
        *_, found = contest(sides, shared_environment(broker.bootstrap_servers), wishes.rounds, wishes.seconds)
    summed = summary(sides, found, wishes.seconds)
    sys.exit(verdict(summed, recorded))


def verdict(summed: Mapping[str, Any], recorded: Mapping[str, Any]) -> int:
    """Print a line a side; 1 when one is too dear, else 0."""
    table = Table(title=f"CPU time of an image, times cheaper than the plain chain; margin {MARGIN:.0%}")
    for name in ("", "recorded", "now", "min - max", ""):
        table.add_column(name, justify="left" if not name else "right")
    failed = 0
    for name, side in summed["sides"].items():
        was, now = recorded["sides"][name]["ratios"]["cpu"]["median"], side["ratios"]["cpu"]
        dearer = now["median"] < was * (1 - MARGIN)
        failed |= dearer
        span = f"{now['least']:.2f} - {now['most']:.2f}"
        table.add_row(
            f"{side['title']}, {side['profile']}",
            f"{was:.2f}",
            f"{now['median']:.2f}",
            span,
            "dearer" if dearer else "",
        )
    Console().print(table)
    return int(failed)


if __name__ == "__main__":
    main()
