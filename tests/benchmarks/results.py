"""What a contest has shown: a table, a JSON document, a plot."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.table import Table

from tests.benchmarks.contenders import BASELINE, Contender
from tests.benchmarks.contest import Window
from tests.benchmarks.windows import Ratio, ratio

FOLDER = Path(__file__).parent / "results"
BASELINE_FILE = "plain_chain.py"
LIBRARIES = (
    *("tensorflow", "tensorflow-io", "confluent-kafka", "simplejpeg", "opencv-python-headless", "kornia-rs", "numpy"),
    *("torch", "ray", "nvidia-dali-cuda120"),
)


def summary(contenders: Mapping[str, Contender], found: Mapping[str, list[Window]], seconds: float) -> dict[str, Any]:
    """Everything, for the JSON document; medians and ratios by side."""
    return {
        "date": now(),
        "machine": machine(),
        "versions": versions(),
        "baseline": {"file": BASELINE_FILE, "sha256": digest()},
        "rounds": len(found[BASELINE]),
        "seconds": seconds,
        "sides": {name: _side(contenders[name], windows, found[BASELINE]) for name, windows in found.items()},
    }


def digest() -> str:
    """sha256 of the baseline's file."""
    return hashlib.sha256((Path(__file__).parent / BASELINE_FILE).read_bytes()).hexdigest()


def now() -> str:
    """Date and time."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def machine() -> str:
    """Processor, cores, memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory_gb:.0f} GB"


def versions() -> dict[str, str]:
    """Of what takes part and is installed."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def table(summed: Mapping[str, Any]) -> Table:
    """The one table."""
    title = f"{summed['rounds']} rounds of {summed['seconds']:g} s, {summed['date']}, {summed['machine']}"
    baseline = summed["baseline"]
    caption = f"ratios to the first row's window of the same round; {baseline['file']}, sha256 {baseline['sha256']}"
    drawn = Table(title=title, caption=caption)
    for name in ("", "records", "CPU-ms an image", "images/s", "x in CPU", "min - max", "x in images/s", "min - max"):
        drawn.add_column(name, justify="left" if name in ("", "records") else "right")
    for side in summed["sides"].values():
        ratios = [text for kind in ("cpu", "wall") for text in _texts(side["ratios"][kind])]
        drawn.add_row(side["title"], side["profile"], f"{side['cpu_ms']:.3f}", f"{side['images_per_s']:.0f}", *ratios)
    return drawn


def write(summed: Mapping[str, Any], folder: Path, name: str) -> None:
    """`name`.json and `name`.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(summed, indent=1) + "\n")
    _plot(summed, folder / f"{name}.png")


def _side(contender: Contender, windows: Sequence[Window], baseline: Sequence[Window]) -> dict[str, Any]:
    cpu = ratio([one.cpu_ms for one in baseline], [one.cpu_ms for one in windows])
    wall = ratio([one.rate for one in windows], [one.rate for one in baseline])
    return {
        "title": contender.title,
        "profile": contender.profile,
        "cpu_ms": round(median(one.cpu_ms for one in windows), 4),
        "images_per_s": round(median(one.rate for one in windows), 1),
        "ratios": {"cpu": _rounded(cpu), "wall": _rounded(wall)},
        "windows": [[one.images, round(one.wall_s, 3), round(one.cpu_s, 2)] for one in windows],
    }


def _rounded(found: Ratio) -> dict[str, float]:
    return {name: round(value, 4) for name, value in found._asdict().items()}


def _texts(found: Mapping[str, float]) -> tuple[str, str]:
    return f"{found['median']:.2f}", f"{found['least']:.2f} - {found['most']:.2f}"


def _plot(summed: Mapping[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    sides = list(summed["sides"].values())[::-1]
    figure = Figure(figsize=(9, 1 + 0.42 * len(sides)), layout="constrained")
    axes = figure.subplots()
    for shift, kind, label, colour in ((0.2, "cpu", "CPU time", "#f4a23a"), (-0.2, "wall", "images/s", "#268e8c")):
        ratios = [side["ratios"][kind] for side in sides]
        middles = [each["median"] for each in ratios]
        spread = [
            [middle - each["least"] for each, middle in zip(ratios, middles, strict=True)],
            [each["most"] - middle for each, middle in zip(ratios, middles, strict=True)],
        ]
        rows = [row + shift for row in range(len(sides))]
        axes.barh(rows, middles, 0.38, xerr=spread, label=label, color=colour, error_kw={"lw": 1, "capsize": 2})
        for row, middle, most in zip(rows, middles, (each["most"] for each in ratios), strict=True):
            axes.text(max(middle, most), row, f" {middle:.2f}", va="center", fontsize=7)
    axes.axvline(1, color="grey", lw=0.8)
    axes.set_yticks(range(len(sides)), [f"{side['title']} ({side['profile']})" for side in sides], fontsize=8)
    axes.set_xlabel("times the plain KafkaDataset chain on full-size records; more is better", fontsize=8)
    axes.set_title(f"{summed['machine']}, {summed['date']}", fontsize=8)
    axes.legend(fontsize=8, loc="upper right")
    figure.savefig(path, dpi=110)
