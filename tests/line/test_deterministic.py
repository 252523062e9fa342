"""In deterministic mode a training that is killed at every step ends with the very weights of one that never was."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from tests.conftest import Broker, TopicFactory
from tests.line.line import Service, produce, record

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

KILLS, URL = "TEST_KILLS", "TEST_URL"  # see deterministic.py, whose import would take TensorFlow
BATCH = 128
STEPS = 5
SETTINGS = {
    "model.build": "deterministic:build",
    "pipeline.deterministic": True,
    "pipeline.batch_size": BATCH,
    "checkpoint.interval_s": 0.01,
    "checkpoint.keep": 50,
    "evaluation.fraction": 0.05,
    "evaluation.every_batches": 2,
    "service.restart_backoff_s": 0,
    "service.restart_budget": 2 * STEPS,
}


def fill(servers: str, topic: str) -> int:
    """Two partitions of more than a block of 256: good and bad records, tombstones, and holes of both kinds."""
    produced = 0
    for block in range(2):
        values = [record(block * 1000 + n) for n in range(320)]
        values[17], values[90], values[200] = b"nonsense", None, values[200][:100]
        produced += produce(servers, topic, values, 2, transaction=True if block else None)
        produce(servers, topic, [record(n) for n in range(20)], 2, transaction=False)
    return produced


def newest(service: Service) -> tuple[Path, Any]:
    """The folder of the newest checkpoint, and its manifest."""
    folder = max(path for path in service.checkpoints.glob("e[0-9]*") if path.is_dir())
    return folder, json.loads((folder / "manifest.json").read_text())


def run(service: Service, produced: int) -> tuple[Path, Any]:
    """Until all is settled and saved."""
    with service:
        service.settled(produced)
        assert service.signal(signal.SIGTERM) == 0
        return newest(service)


@pytest.mark.slow
def test_killed_at_every_step_the_weights_are_bitwise_those_of_a_run_without_a_crash(
    kafka: Broker, topic: TopicFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    produced = fill(servers, name)

    def service(folder: str) -> Service:
        (tmp_path / folder).mkdir()
        own = {"name": f"{name}-{folder}", "kafka.dead_letter_topic": topic(1)}
        return Service(tmp_path / folder, servers, name, SETTINGS | own)

    unharmed, crashed = service("unharmed"), service("crashed")
    want, wanted = run(unharmed, produced)
    assert wanted["step"] >= STEPS
    assert wanted["records"]["dead_lettered"] == 4
    assert wanted["records"]["skipped"] == 2
    assert min(wanted["records"][kind] for kind in ("held_out", "absent")) > 0

    kills = tmp_path / "kills"
    kills.mkdir()
    for step in range(1, wanted["step"] + 1):
        (kills / str(step)).touch()
    monkeypatch.setenv(KILLS, str(kills))
    monkeypatch.setenv(URL, crashed.url)
    got, found = run(crashed, produced)
    assert list(kills.iterdir()) == []
    assert {event["step"] for event in crashed.events("restored")} == set(range(wanted["step"]))
    assert found["step"] == wanted["step"]
    ledgers = [CheckpointStore(path.parent).ledger(path.name) for path in (want, got)]
    assert ledgers[0] == ledgers[1]
    assert (got / MODEL_FILE).read_bytes() == (want / MODEL_FILE).read_bytes()
    assert found["trainer_state"]["scoring"] == wanted["trainer_state"]["scoring"]
    assert found["evaluation"] == wanted["evaluation"]

    # What was saved, restored in a new process and saved again is the same, bit for bit.
    with crashed:
        crashed.settled(produced)
        again = crashed.checkpoints / crashed.checkpoint()
        manifest = json.loads((again / "manifest.json").read_text())
    assert manifest["parent"] == got.name
    assert (again / MODEL_FILE).read_bytes() == (got / MODEL_FILE).read_bytes()
    assert CheckpointStore(again.parent).ledger(again.name) == ledgers[1]
    for field in ("trainer_state", "evaluation", "generation", "positions", "records", "step", "learning_rate"):
        assert manifest[field] == found[field]
