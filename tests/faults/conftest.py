"""What every fault test gets: a service that trains the witness, and a place for its row of the table."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import Broker
from tests.faults.table import ROW, Results, Row, rendered, write
from tests.faults.witness import WITNESS
from tests.line.line import Service

LONGEST = ("kill_rounds_lose_nothing_and_repeat_nothing", "clock_jumps_saves_order_and_retention_go_on")
_ROWS = pytest.StashKey[list[Row]]()


class ServeWitness(Protocol):
    def __call__(
        self,
        topic: str,
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Service: ...


class Rows:
    """Gathers the rows that reports bring."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.rows += (Row(**row) for name, row in report.user_properties if name == ROW)


def pytest_configure(config: pytest.Config) -> None:
    gathering = Rows()
    config.pluginmanager.register(gathering)
    config.stash[_ROWS] = gathering.rows


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that processes side by side end together."""
    items.sort(key=lambda item: not item.nodeid.endswith(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[_ROWS]
    if rows:
        terminalreporter.write_line(rendered(rows))
    if path := config.getoption("--fault-table"):
        write(rows, path)


@pytest.fixture
def results(request: pytest.FixtureRequest) -> Results:
    """Every fault test adds its row, once its promises have held."""
    return Results(request.node.user_properties)


@pytest.fixture
def witness(kafka: Broker, tmp_path: Path) -> Iterator[ServeWitness]:
    """Starts a service that trains the witness model on a topic of the session's broker; gone after the test."""
    with ExitStack() as stack:

        def start(
            topic: str,
            settings: Mapping[str, object] | None = None,
            environment: Mapping[str, str] | None = None,
            directory: Path | None = None,
        ) -> Service:
            wanted = {**WITNESS, "evaluation.fraction": 0.02, **(settings or {})}
            return stack.enter_context(
                Service(directory or tmp_path, kafka.bootstrap_servers, topic, wanted, environment)
            )

        yield start
