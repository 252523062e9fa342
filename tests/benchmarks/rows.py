"""Figures of the service, one a row: what was measured, how far it spread, what was wanted."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.table import Table

from tests.benchmarks.results import machine, now, versions


class Row(NamedTuple):
    """middle: the median of so many that were taken. wanted: in words, "" where nothing was."""

    what: str
    unit: str
    middle: float
    least: float
    most: float
    taken: int
    wanted: str = ""


def row(what: str, unit: str, values: Sequence[float], wanted: str = "") -> Row:
    """Of measured values."""
    return Row(what, unit, median(values), min(values), max(values), len(values), wanted)


def table(rows: Sequence[Row]) -> Table:
    """To be printed."""
    drawn = Table(title=f"{now()}, {machine()}")
    for name in ("", "unit", "median", "min", "max", "of", "wanted"):
        drawn.add_column(name, justify="right" if name in ("median", "min", "max", "of") else "left")
    for one in rows:
        figures = (f"{value:.4g}" for value in (one.middle, one.least, one.most))
        drawn.add_row(one.what, one.unit, *figures, str(one.taken), one.wanted)
    return drawn


def write(rows: Sequence[Row], path: Path) -> None:
    """Rows of other runs stay, unless they are measured again."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    about = {"date": now(), "machine": machine(), "versions": versions()}
    kept |= {one.what: one._asdict() | about for one in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
