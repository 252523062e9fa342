import io

import pytest
from rich.console import Console

from streaming.demo.screen import Screen, spark, training_line
from tests.streaming.demo.test_report import LAST


@pytest.mark.parametrize(
    ("values", "line"), [([1.0], ""), ([2.0, 2.0], ""), ([0.0, 0.5, 1.0], "▁▄█"), ([3.0, 2.0, 1.0], "█▄▁")]
)
def test_a_course_is_drawn_from_its_smallest_to_its_greatest_value(values: list[float], line: str) -> None:
    assert spark(values) == line


def test_the_line_says_what_is_known() -> None:
    line = training_line(LAST._replace(log_end=1200, records_per_s=130.4), [0.5, 0.3], [0.64])
    assert line == "waiting · step 60 · 130 records/s · loss 0.300 █▁ · hold-out mean IoU 0.640 · 1000 of 1200 settled"


def test_before_the_first_step_it_says_what_is_being_done() -> None:
    line = training_line(LAST._replace(state="starting", doing="importing TensorFlow", step=0, log_end=None), [], [])
    assert line == "starting: importing TensorFlow · step 0 · 0 records/s"


def test_without_a_terminal_each_stage_is_a_plain_line() -> None:
    out = io.StringIO()
    with Screen(Console(file=out)) as screen:
        stage = screen.stage("Apache Kafka", total=1.0)
        stage.update(0.5, note="fetching")
        stage.done("Apache Kafka at 127.0.0.1:9092")
        screen.training(LAST, "http://127.0.0.1:8080")
    assert out.getvalue().splitlines()[:2] == ["Apache Kafka …", "done: Apache Kafka at 127.0.0.1:9092"]
    assert "step 60" in out.getvalue()


def test_on_a_terminal_the_stages_are_drawn_and_the_page_is_named() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, force_terminal=True, width=100)) as screen:
        screen.stage("topics").done()
        screen.training(LAST, "http://127.0.0.1:8080")
    assert "✓" in out.getvalue()
    assert "http://127.0.0.1:8080/" in out.getvalue()
