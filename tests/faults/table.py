"""The fault suite's results, fault by fault, as a table and as JSON.

A row travels with its test's report, so that it arrives from whichever process the test ran in.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.judge import Verdict

WIDTH = 160
ROW = "fault"


@dataclass(frozen=True)
class Row:
    """One fault. recovery_s: from the fault's end, or the kill, to the next trained record, the worst of all rounds;
    outcome: what was promised and came true; visible: in what of status, log and metrics, and after how long."""

    fault: str
    rounds: int
    records: int
    lost: int
    repeated: int
    recovery_s: float | None
    outcome: str
    visible: str


class Results:
    """Where a test puts its rows. properties: the test's `user_properties`, which its report carries."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def add(
        self,
        fault: str,
        verdict: Verdict | None = None,
        *,
        outcome: str,
        visible: str,
        rounds: int = 1,
        recovery_s: float | None = None,
    ) -> None:
        """verdict: the judge's; None where no record took part, and lost and repeated are 0 for that."""
        seen = verdict or Verdict()
        row = Row(fault, rounds, seen.records, seen.lost, seen.repeated, recovery_s, outcome, visible)
        self._properties.append((ROW, asdict(row)))


def rendered(rows: Sequence[Row]) -> str:
    """The table as text."""
    table = Table(title="Faults")
    for name in ("fault", "rounds", "records", "lost", "repeated", "recovery s", "outcome", "visible in"):
        table.add_column(
            name, justify="right" if name in ("rounds", "records", "lost", "repeated", "recovery s") else "left"
        )
    for row in rows:
        recovery = "" if row.recovery_s is None else f"{row.recovery_s:.1f}"
        numbers = (str(number) for number in (row.rounds, row.records, row.lost, row.repeated))
        table.add_row(row.fault, *numbers, recovery, row.outcome, row.visible)
    console = Console(file=io.StringIO(), width=WIDTH)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text)


def write(rows: Sequence[Row], path: Path) -> None:
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1))
