import io
from pathlib import Path

import pytest
from rich.console import Console

from streaming.demo.report import FreshScore, Report, mismatch, table
from streaming.demo.sidecar import Snapshot

LAST = Snapshot(
    state="waiting",
    doing="",
    step=60,
    loss=0.3,
    records={"fetched": 1100, "trained": 930, "held_out": 60, "dead_lettered": 9, "skipped": 1},
    records_per_s=0,
    mean_iou=0.64,
    partitions=4,
    log_end=1000,
    lag=0,
    problem=None,
)
REPORT = Report(
    produced=1000,
    broken=10,
    last=LAST,
    checkpoint_id="e000001-s000000003",
    loss_at_start=1.0,
    loss_at_end=0.31,
    fresh=FreshScore(loss=0.3, mean_iou=0.65, baseline_mean_iou=0.237, records=300),
    wall_s=90.0,
    directory=Path("demo-run/x"),
)


def test_sums_that_add_up_are_no_mismatch() -> None:
    assert mismatch(REPORT) is None


@pytest.mark.parametrize(
    ("records", "log_end", "sentence"),
    [
        ({"trained": 929}, 1000, "1000 records were produced but 999 are settled"),
        ({"trained": 931}, 1000, "1000 records were produced but 1001 are settled"),
        ({}, 1001, "the topic ends at 1001"),
        ({"trained": 931, "dead_lettered": 8}, 1000, "10 records were broken on purpose but 9 were refused"),
    ],
)
def test_sums_that_do_not_add_up_are_one_sentence(records: dict[str, int], log_end: int, sentence: str) -> None:
    last = LAST._replace(records=LAST.records | records, log_end=log_end)
    assert sentence in (mismatch(REPORT._replace(last=last)) or "")


def test_the_table_holds_every_number() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(table(REPORT))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for shown in ("1,000", "930", "60", "9", "1.000 -> 0.310", "e000001-s000000003", "0.640", "0.650", "0.237", "90 s"):
        assert shown in text
