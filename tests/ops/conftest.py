"""The engine, and the image built in it: once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.engine import Engine, missing


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    folder: Path = tmp_path_factory.mktemp("engine")
    with Engine(folder) as one:
        one.build()
        yield one
