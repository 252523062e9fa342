"""What the benchmark does with what it has measured, and that the committed results are of the committed baseline."""

import itertools
import json
from typing import Any

import pytest

from tests.benchmarks import rows
from tests.benchmarks.contenders import EVERYDAY, PEERS
from tests.benchmarks.contest import Window
from tests.benchmarks.gate import MARGIN, verdict
from tests.benchmarks.results import FOLDER, digest, summary, table, write
from tests.benchmarks.sides import side
from tests.benchmarks.windows import ratio


def sides(ratios: dict[str, float]) -> dict[str, Any]:
    return {
        "sides": {
            name: {
                "title": name,
                "profile": "full",
                "ratios": {"cpu": {"median": value, "least": value, "most": value}},
            }
            for name, value in ratios.items()
        }
    }


def test_the_gate_fails_a_side_that_is_dearer_by_more_than_the_margin() -> None:
    recorded = sides({"plain": 1.0, "ours": 2.0})
    assert verdict(sides({"plain": 1.0, "ours": 2.0 * (1 - MARGIN / 2)}), recorded) == 0
    assert verdict(sides({"plain": 1.0, "ours": 3.0}), recorded) == 0
    assert verdict(sides({"plain": 1.0, "ours": 2.0 * (1 - 2 * MARGIN)}), recorded) == 1


def test_ratios_are_of_windows_of_one_round() -> None:
    assert ratio([2.0, 8.0, 3.0], [1.0, 2.0, 3.0]) == (2.0, 1.0, 4.0)


def test_a_summary_has_every_window_and_says_what_it_was_measured_with(tmp_path: Any) -> None:
    plain, ours = [Window(100, 1.0, 0.2, {})] * 3, [Window(100, 0.5, 0.1, {})] * 3
    summed = summary(EVERYDAY, {"plain": plain, "ours": ours}, 1.0)
    assert summed["sides"]["ours"]["ratios"]["cpu"]["median"] == pytest.approx(2.0)
    assert summed["sides"]["ours"]["ratios"]["wall"]["median"] == pytest.approx(2.0)
    assert summed["sides"]["ours"]["windows"] == [[100, 0.5, 0.1]] * 3
    assert summed["baseline"] == {"file": "plain_chain.py", "sha256": digest()}
    write(summed, tmp_path, "feed")
    assert json.loads((tmp_path / "feed.json").read_text()) == summed
    assert (tmp_path / "feed.png").stat().st_size > 1000
    assert table(summed).row_count == 2


def test_rows_measured_again_replace_those_of_before(tmp_path: Any) -> None:
    rows.write([rows.row("a", "s", [1.0, 2.0, 9.0]), rows.row("b", "s", [1.0])], tmp_path / "service.json")
    rows.write([rows.row("b", "s", [3.0])], tmp_path / "service.json")
    kept = json.loads((tmp_path / "service.json").read_text())
    assert [kept[what]["middle"] for what in ("a", "b")] == [2.0, 3.0]


def test_what_was_read_ahead_is_not_counted() -> None:
    given: list[int] = []
    batches = (given.append(32) or 32 for _ in itertools.count())
    window = side._window(batches, 0.0, 100)
    assert (given, window["images"]) == ([32] * 4, 0)


def test_the_baseline_comes_first_and_results_of_it_are_of_the_file_that_is_here() -> None:
    assert next(iter(EVERYDAY)) == next(iter(PEERS)) == "plain"
    for written in FOLDER.glob("*.json"):
        found = json.loads(written.read_text())
        assert found.get("baseline", {}).get("sha256", digest()) == digest(), f"{written.name}: run make bench again"
