"""`make bench-decode`: the worker's chain up to decoded batches against the tutorials' chain, in alternating windows.

Everything comes from memory and nothing is trained. The baseline (`plain_chain.py`) always takes full-size records: a
ratio says what a user gains by the service, and by the profile on top. Each side is a process of its own that does
nothing while another's window runs; every window of the baseline is the partner of one of each of the others.
CPU time is what a record costs on every machine; images/s are what this machine made of it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from streaming.demo.profiles import Profile
from tests.benchmarks.plain_chain import digest
from tests.benchmarks.windows import ratio

PLAIN, OURS, FLOOR = "plain chain, full", "service, full", "libjpeg-turbo alone, half size"
SIDES = {
    PLAIN: ("plain", Profile.FULL),
    **{f"service, {profile}": ("service", profile) for profile in Profile},
    FLOOR: ("half", Profile.FULL),
    "libjpeg-turbo alone, an eighth": ("entropy", Profile.FULL),
    "plain chain, small-mask": ("plain", Profile.SMALL_MASK),
    "plain chain, small-jpeg": ("plain", Profile.SMALL_JPEG),
}
OUT = Console(stderr=True)


class Window(NamedTuple):
    """cpu_ms: of an image; rate: images a second."""

    cpu_ms: float
    rate: float


def main() -> None:
    wishes = arguments()
    found: dict[str, list[Window]] = {name: [] for name in SIDES}
    with ExitStack() as stack:
        sides = {name: stack.enter_context(Side(*side, wishes)) for name, side in SIDES.items()}
        for number in range(wishes.windows):
            for name, side in sides.items():
                found[name].append(side.window(wishes.seconds))
            OUT.print(f"round {number + 1} of {wishes.windows}: {PLAIN} {found[PLAIN][-1].rate:.0f} images/s")
    report(wishes, found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=7, help="windows of each side")
    parser.add_argument("--seconds", type=float, default=20, help="length of a window")
    parser.add_argument("--image-size", type=int, default=128, help="pipeline.image_size")
    parser.add_argument("--batch-size", type=int, default=32, help="pipeline.batch_size")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    return parser.parse_args()


class Side:
    """A process of `decode_side.py`."""

    def __init__(self, side: str, profile: Profile, wishes: argparse.Namespace) -> None:
        sizes = {"IMAGE_SIZE": wishes.image_size, "BATCH_SIZE": wishes.batch_size}
        named = {f"PENSTOCK_PIPELINE__{name}": str(value) for name, value in sizes.items()}
        command = [sys.executable, "-m", "tests.benchmarks.decode_side", side, profile]
        self._process = subprocess.Popen(
            command, env=os.environ | named, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def window(self, seconds: float) -> Window:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(seconds, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return Window(1000 * answer["cpu_s"] / answer["images"], answer["images"] / answer["s"])


def report(wishes: argparse.Namespace, found: dict[str, list[Window]]) -> None:
    title = f"{wishes.image_size} pixels, batch {wishes.batch_size}, {wishes.windows} x {wishes.seconds:g} s"
    table = Table(title=f"{title}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    for name in ("", "CPU-ms an image", "images/s", "x in CPU", "min - max", "x in images/s", "min - max"):
        table.add_column(name, justify="right" if name else "left")
    figures: dict[str, Any] = {}
    for name, windows in found.items():
        cpu = ratio([one.cpu_ms for one in found[PLAIN]], [one.cpu_ms for one in windows])
        wall = ratio([one.rate for one in windows], [one.rate for one in found[PLAIN]])
        ratios = [text for one in (cpu, wall) for text in (f"{one.median:.2f}", f"{one.least:.2f} - {one.most:.2f}")]
        means = f"{median(one.cpu_ms for one in windows):.3f}", f"{median(one.rate for one in windows):.0f}"
        table.add_row(name, *means, *ratios)
        figures[name] = {"windows": [one._asdict() for one in windows], "cpu": cpu._asdict(), "wall": wall._asdict()}
    console = Console()
    console.print(table)
    share = ratio(*([one.cpu_ms for one in found[name]] for name in (FLOOR, OURS)))
    console.print(f"{OURS}: {share.median:.0%} of the half-size floor in CPU ({share.least:.0%} - {share.most:.0%})")
    console.print(f"baseline: tests/benchmarks/plain_chain.py, sha256 {digest()}")
    if wishes.json:
        wishes.json.write_text(json.dumps({"baseline_sha256": digest(), "sides": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
