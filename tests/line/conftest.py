"""A service that is gone when its test is."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import Broker
from tests.line.line import Service


class Serve(Protocol):
    def __call__(self, topic: str, settings: Mapping[str, object] | None = None) -> Service: ...


@pytest.fixture
def serve(kafka: Broker, tmp_path: Path) -> Iterator[Serve]:
    """Starts a service on a topic of the session's broker."""
    with ExitStack() as stack:

        def start(topic: str, settings: Mapping[str, object] | None = None) -> Service:
            return stack.enter_context(Service(tmp_path, kafka.bootstrap_servers, topic, settings))

        yield start
