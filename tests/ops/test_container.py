"""The image in a real engine: confined as the manifests confine it, stopped, killed, and looked at from beside."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.conftest import Broker, TopicFactory
from tests.line.line import produce, record, settled
from tests.ops.engine import IMAGE, Container, Engine, positions

pytestmark = [pytest.mark.ops, pytest.mark.kafka]

SMALL = {"pipeline.image_size": 16, "pipeline.batch_size": 8, "pipeline.linger_s": 0.5, "model.width": 4}
TOKEN = "of-the-test"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
NEWEST = """
import json
from pathlib import Path
from streaming.checkpoints.store import CheckpointStore
store = CheckpointStore(next(Path("/data").iterdir()))
manifest, passed_over = store.newest_valid()
print(json.dumps({"positions": manifest.positions, "records": manifest.records, "passed_over": passed_over}))
"""


@contextmanager
def training(engine: Engine, broker: Broker, topic: str, **settings: object) -> Iterator[Container]:
    tree = {"kafka.bootstrap_servers": broker.bootstrap_servers, "kafka.topic": topic, "name": topic, **SMALL}
    with Container(engine, topic, tree | settings) as one:
        yield one


def newest(one: Container) -> Any:
    """What a second container finds, every file hashed."""
    return json.loads(one.beside("-c", NEWEST))


def not_older(found: Any, reported: dict[int, int]) -> bool:
    return all(found["positions"][str(partition)] >= position for partition, position in reported.items())


def test_the_image_says_what_it_is_and_holds_no_more_than_it_needs(engine: Engine) -> None:
    (image,) = json.loads(engine("inspect", IMAGE))
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][-1] == "/opt/healthcheck.py"
    assert config["Labels"]["org.opencontainers.image.title"] == "penstock"
    history = engine("history", "--no-trunc", "--format", "{{.Size}} {{.CreatedBy}}", IMAGE)
    print(f"\n{image['Size'] / 1e6:.0f} MB\n{history}")
    look = "find / -xdev -name uv -o -name uv.lock -o -name pytest 2> /dev/null || true"
    found = engine("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", look)
    assert found == ""


def test_stopped_while_it_trains_nothing_reported_is_lost(engine: Engine, kafka: Broker, topic: TopicFactory) -> None:
    name = topic(2)
    fill(kafka, name, 4000)
    with training(engine, kafka, name, **{"checkpoint.interval_s": 1}) as one:
        one.until(lambda status: status["step"] > 20 and any(positions(status).values()))
        reported = positions(one.status())
        assert one.stop() == 0
        assert not_older(newest(one), reported)


def test_stopped_while_it_saves_it_ends_in_time(engine: Engine, kafka: Broker, topic: TopicFactory) -> None:
    name = topic(1)
    fill(kafka, name, 2000)
    with training(
        engine, kafka, name, **{"model.width": 96, "checkpoint.interval_s": 3600, "service.token": TOKEN}
    ) as one:
        one.until(lambda status: status["step"] > 3)
        assert httpx.post(f"{one.url}/v1/checkpoints", headers=AUTHORISED, timeout=10).status_code == 202
        reported = positions(one.status())
        assert one.stop() == 0
        assert not_older(newest(one), reported)


def test_stopped_while_idle_and_killed_it_counts_every_record_once(
    engine: Engine, kafka: Broker, topic: TopicFactory
) -> None:
    name, records = topic(2), 600
    fill(kafka, name, records)
    with training(engine, kafka, name, **{"checkpoint.interval_s": 1}) as one:
        for _ in range(2):
            one.until(lambda status: status["step"] > 2)
            one.kill()
            one.again()
        one.until(lambda status: settled(status) == records)
        assert one.stop() == 0
        assert sum(newest(one)["records"].values()) == records
        one.again()
        one.until(lambda status: status["state"] == "waiting")
        newest_id = httpx.get(f"{one.url}/v1/checkpoints?limit=1").json()["checkpoints"][0]["id"]
        told = httpx.get(f"{one.url}/v1/checkpoints/{newest_id}/records").json()["partitions"]
        kinds = ("trained", "held_out", "dead_lettered", "skipped", "absent", "lost", "excluded")
        listed = {kind: sum(stop - start for each in told for start, stop in each[kind]) for kind in kinds}
        exposed = exposition(one)
        assert listed == {kind: exposed[f'penstock_ledger_records{{kind="{kind}"}}'] for kind in kinds}


def test_a_checkpoint_is_asked_for_from_another_container_and_the_health_check_sees_it_live(
    engine: Engine, kafka: Broker, topic: TopicFactory
) -> None:
    name = topic(1)
    fill(kafka, name, 200)
    with training(engine, kafka, name, **{"checkpoint.interval_s": 3600, "service.token": TOKEN}) as one:
        one.until(lambda status: status["state"] == "waiting")
        done = json.loads(
            one.beside("checkpoints", "create", "--url", one.url, "--token", TOKEN, "--json", entrypoint="penstock")
        )
        assert done["state"] == "succeeded"
        assert newest(one)["records"]["trained"] > 0
        one.until(lambda _: one.inspect("{{.State.Health.Status}}") == "healthy")


def fill(broker: Broker, topic: str, records: int) -> None:
    produce(broker.bootstrap_servers, topic, [record(number) for number in range(records)])


def exposition(one: Container) -> dict[str, float]:
    lines = httpx.get(f"{one.url}/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
