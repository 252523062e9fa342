"""What every fault test gets: a service that trains the witness, and a place for its row of the table."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import Broker
from tests.faults.table import Results, rendered, write
from tests.faults.witness import WITNESS
from tests.line.line import Service

_RESULTS = pytest.StashKey[Results]()


class ServeWitness(Protocol):
    def __call__(
        self,
        topic: str,
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Service: ...


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = Results()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[_RESULTS].rows
    if rows:
        terminalreporter.write_line(rendered(rows))
    if path := config.getoption("--fault-table"):
        write(rows, path)


@pytest.fixture
def results(pytestconfig: pytest.Config) -> Results:
    """Every fault test adds its row, once its promises have held."""
    return pytestconfig.stash[_RESULTS]


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
