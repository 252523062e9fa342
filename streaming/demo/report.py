"""The end of a demo: what became of every record, and what the model learnt."""

from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.table import Table

from streaming.demo.sidecar import Snapshot


class FreshScore(NamedTuple):
    """What a process that knows only the checkpoint found on pets that nobody had seen."""

    loss: float
    mean_iou: float
    baseline_mean_iou: float
    records: int


class Report(NamedTuple):
    """produced: acknowledged by Kafka, `broken` of them made bad on purpose. losses: means of ten steps."""

    produced: int
    broken: int
    last: Snapshot
    checkpoint_id: str
    loss_at_start: float | None
    loss_at_end: float | None
    fresh: FreshScore
    wall_s: float
    directory: Path


def mismatch(report: Report) -> str | None:
    """A sentence when records are unaccounted for, or were settled that nobody produced; None: all is well."""
    settled, log_end = report.last.settled, report.last.log_end
    if settled != report.produced:
        return f"{report.produced} records were produced but {settled} are settled: the ledger doesn't add up"
    if log_end != report.produced:
        return f"{report.produced} records were produced but the topic ends at {log_end}"
    bad = report.last.records.get("dead_lettered", 0) + report.last.records.get("skipped", 0)
    if bad != report.broken:
        return f"{report.broken} records were broken on purpose but {bad} were refused"
    return None


def table(report: Report) -> Table:
    records, fresh = report.last.records, report.fresh
    out = Table(box=box.SIMPLE, show_header=False)
    out.add_column(justify="left")
    out.add_column(justify="right")
    out.add_column(style="dim")
    out.add_row("records produced", f"{report.produced:,}", f"{report.broken} of them broken on purpose")
    out.add_row("  trained", f"{records.get('trained', 0):,}", "each exactly once")
    out.add_row("  held out", f"{records.get('held_out', 0):,}", "for evaluation, never trained")
    out.add_row(
        "  dead-lettered", f"{records.get('dead_lettered', 0):,}", "sent to the dead-letter topic with a reason"
    )
    out.add_row("  skipped", f"{records.get('skipped', 0):,}", "tombstones")
    others = sum(records.get(kind, 0) for kind in ("absent", "lost", "excluded"))
    if others:
        out.add_row("  absent, lost, excluded", f"{others:,}", "")
    out.add_section()
    out.add_row("steps", f"{report.last.step:,}", "")
    out.add_row("loss", f"{_number(report.loss_at_start)} -> {_number(report.loss_at_end)}", "first and last ten steps")
    out.add_row("checkpoint", report.checkpoint_id, "")
    out.add_row("mean IoU, held-out records", _number(report.last.mean_iou), "while it trained")
    out.add_row("mean IoU, a fresh process", _number(fresh.mean_iou), f"{fresh.records} pets nobody had seen")
    out.add_row("mean IoU, constant guess", _number(fresh.baseline_mean_iou), "what knowing nothing scores")
    out.add_row("folder", str(report.directory), "checkpoints and logs")
    out.add_row("wall time", f"{report.wall_s:.0f} s", "")
    return out


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
