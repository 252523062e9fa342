"""`make bench`: penstock's input chain against what people would use instead, and the service against a bare loop.

Every side is a process of its own; all are resident, and one works while the others stand still on what they have read
ahead. Each round gives every side a window; ratios are of windows of one round. `--only` runs a part alone.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from streaming.demo.kafka import EmbeddedKafka
from tests.benchmarks import budget, finite_check, memory, recovery, rows, service_against_keras, stall
from tests.benchmarks.contenders import EVERYDAY, PEERS, Contender
from tests.benchmarks.contest import contest
from tests.benchmarks.results import FOLDER, summary, table, write
from tests.benchmarks.topics import fill

PARTS = ("feed", "peers", "memory", "service", "evaluation", "budget", "finite", "stall", "recovery")
EVERY_DAY = tuple(part for part in PARTS if part != "peers")


def main() -> None:
    wishes = arguments()
    measured: list[rows.Row] = []
    for part in wishes.only or EVERY_DAY:
        if part in ("feed", "peers"):
            sides = EVERYDAY if part == "feed" else PEERS
            feed(part, sides if not wishes.sides else {name: sides[name] for name in wishes.sides}, wishes)
        else:
            measured += MEASURES[part](wishes)
    if measured:
        rows.write(measured, wishes.folder / "service.json")
        Console().print(rows.table(measured))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts; all but peers unless given")
    parser.add_argument("--sides", nargs="+", help="of feed or peers, the baseline `plain` first; all unless given")
    parser.add_argument("--rounds", type=int, default=7, help="windows of each side")
    parser.add_argument("--seconds", type=float, default=20, help="length of a window")
    parser.add_argument("--records", type=int, default=16_000, help="records in each topic")
    parser.add_argument("--saves", type=int, default=100, help="checkpoints to take for stall")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where JSON and plot go")
    return parser.parse_args()


def feed(name: str, sides: Mapping[str, Contender], wishes: argparse.Namespace) -> None:
    """The comparison of input chains."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        environment = shared_environment(broker.bootstrap_servers)
        for profile in sorted({side.profile for side in sides.values()}):
            fill(broker.bootstrap_servers, profile, image_size=128, count=wishes.records)
        for found in contest(sides, environment, wishes.rounds, wishes.seconds):
            summed = summary(sides, found, wishes.seconds)
            write(summed, wishes.folder, name)
    Console(width=max(150, Console().width)).print(table(summed))


def shared_environment(servers: str) -> dict[str, str]:
    """The service's defaults, whatever stands in this process's environment."""
    inherited = {name: "" for name in os.environ if name.startswith("PENSTOCK_")}
    assert not inherited, f"unset {', '.join(inherited)}: the sides run with the defaults"
    return {"PENSTOCK_KAFKA__BOOTSTRAP_SERVERS": servers, "TF_CPP_MIN_LOG_LEVEL": "3"}


MEASURES: dict[str, Callable[[argparse.Namespace], list[rows.Row]]] = {
    "memory": memory.measure,
    "service": service_against_keras.measure,
    "evaluation": service_against_keras.measure_with_evaluation,
    "budget": budget.measure,
    "finite": finite_check.measure,
    "stall": stall.measure,
    "recovery": recovery.measure,
}


if __name__ == "__main__":
    main()
