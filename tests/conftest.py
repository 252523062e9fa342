"""One real broker a session, started by the first test that needs it."""

import os
import re
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

with warnings.catch_warnings():  # kafka-python 3.0.12 reads its schemas with importlib.resources.read_text
    warnings.filterwarnings("ignore", r"(open|read)_text is deprecated", DeprecationWarning)
    from kafka import KafkaAdminClient

    from streaming.demo.kafka import EmbeddedKafka

if TYPE_CHECKING:
    from tests.secure_kafka import SecureKafka

OPTIONAL = {"slow": "--faults", "ops": "--ops"}
"""Markers of tests that run only with an option."""
BROKER_VARIABLE = "PENSTOCK_KAFKA__BOOTSTRAP_SERVERS"


class Broker(Protocol):
    @property
    def bootstrap_servers(self) -> str: ...


class TopicFactory(Protocol):
    def __call__(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str: ...


class ForeignBroker:
    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="the whole fault suite: also what is marked slow")
    parser.addoption("--ops", action="store_true", help="also what needs a container engine")
    parser.addoption("--rounds", type=int, default=None, help="kill rounds; 5, or 20 with --faults, unless given")
    parser.addoption("--fault-table", type=Path, default=None, help="write the fault suite's results there, as JSON")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run without the tf tier doesn't import its modules, and so no TensorFlow, either."""
    if "not tf" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return True if re.search(r"^pytestmark = .*mark\.tf\b", collection_path.read_text(), re.MULTILINE) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    unwanted = [marker for marker, option in OPTIONAL.items() if not config.getoption(option)]
    left = [item for item in items if any(item.get_closest_marker(marker) for marker in unwanted)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
    for item in items:
        if {"kafka", "secure_kafka"} & set(getattr(item, "fixturenames", ())) and item.get_closest_marker(
            "kafka"
        ) is None:
            raise pytest.UsageError(f"{item.nodeid} asks for a broker: mark it with @pytest.mark.kafka")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The session's broker; the one that PENSTOCK_KAFKA__BOOTSTRAP_SERVERS names, where it is set. Never kill it."""
    if named := os.environ.get(BROKER_VARIABLE):
        yield ForeignBroker(named)
        return
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def killable_kafka(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker to kill, freeze and restart: the session's, mended afterwards, or its own beside a foreign one."""
    if not isinstance(kafka, EmbeddedKafka):
        with EmbeddedKafka(tmp_path_factory.mktemp("killable-kafka")) as broker:
            yield broker
        return
    yield kafka
    kafka.thaw()
    if not kafka.running:
        kafka.restart()


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SecureKafka"]:
    """A broker behind TLS, logins and rights, beside the session's open one."""
    from tests.secure_kafka import SecureKafka

    with SecureKafka(tmp_path_factory.mktemp("secure-kafka")) as broker:
        yield broker


@pytest.fixture
def topic(kafka: Broker) -> Iterator[TopicFactory]:
    """Creates topics with unique names; where the broker isn't ours they are deleted after the test."""
    created = []

    def create(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(config or {})}
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        try:
            admin.create_topics({name: options}, wait_for_metadata=True)
        finally:
            admin.close()
        created.append(name)
        return name

    yield create
    if created and isinstance(kafka, ForeignBroker):
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.delete_topics(created)
        admin.close()
