"""docker/compose.yaml brought up as a person does: a topic, a producer, a training, a Prometheus that sees it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.line.line import settled
from tests.ops.engine import Engine, eventually, positions
from tests.ops.prometheus import value
from tests.ops.stack import Stack, build
from tests.ops.test_container import NEWEST
from tests.ops.test_monitoring import TOTALS

pytestmark = [
    pytest.mark.ops,
    pytest.mark.skipif(shutil.which("docker-compose") is None, reason="apt-get install docker-compose"),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="apt-get install prometheus"),
]
TOKEN = "let-me-in"  # the file's own
SCRAPED_S = 60.0


@pytest.fixture
def stack(engine: Engine, tmp_path: Path) -> Iterator[Stack]:
    build(engine, tmp_path / "images")
    with Stack(engine, "stack") as one:
        yield one


def test_the_stack_trains_is_scraped_and_goes_on_after_a_stop(stack: Stack) -> None:
    stack.until(lambda status: status["records"]["trained"] > 100)
    create = ("checkpoints", "create", "--url", "http://penstock:8080", "--token", TOKEN, "--json")
    made = json.loads(stack.beside("penstock", *create))
    assert made["result"]["checkpoint_id"]

    stack("stop", "producer")
    assert stack.inspect("producer", "{{.State.ExitCode}}") == "0"
    status = stack.until(all_settled)
    ledger = status["records"]
    assert ledger["trained"] > 100
    assert ledger["dead_lettered"] > 0
    for kind, query in TOTALS.items():
        scraped(stack, query, ledger[kind])

    reported = positions(stack.status())
    stack("stop", "penstock")
    assert stack.inspect("penstock", "{{.State.ExitCode}}") == "0"
    found = json.loads(stack.beside("python3", "-c", NEWEST))
    assert all(found["positions"][str(partition)] >= position for partition, position in reported.items())
    assert {kind: found["records"][kind] for kind in TOTALS} == {kind: ledger[kind] for kind in TOTALS}

    stack("up", "-d", "penstock", "producer")
    stack.until(lambda status: status["records"]["trained"] > ledger["trained"])
    stack("stop", "producer")
    stack.until(all_settled)
    assert stack.inspect("penstock", "{{.State.Health.Status}}") == "healthy"


def all_settled(status: Any) -> bool:
    """Each offset of the topic once: the log's ends are how many records there are."""
    ends = [partition["log_end"] for partition in status["partitions"]]
    return status["state"] == "waiting" and None not in ends and settled(status) == sum(ends) > 0


def scraped(stack: Stack, query: str, wanted: int) -> None:
    """The stack's Prometheus comes to say so; nothing else changes meanwhile."""
    eventually(
        lambda: value(stack.prometheus, query) == wanted,
        SCRAPED_S,
        lambda: f"{query}: {value(stack.prometheus, query)}, not {wanted}",
    )
