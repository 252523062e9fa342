"""The newest checkpoint truncated or with a bit flipped, each file in turn: its parent is restored, and it is told."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointDamaged
from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.kills import await_end
from tests.faults.production import Production
from tests.faults.scene import settle
from tests.faults.table import Results
from tests.faults.visible import Lookout
from tests.faults.witness import witness_record
from tests.line.line import Service

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

FILES = ("model.safetensors", "ledger.safetensors", "manifest.json")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def newest(service: Service) -> Path:
    return max(path for path in service.checkpoints.iterdir() if path.is_dir() and path.name.startswith("e0"))


def damaged_and_started(service: Service, damage: Callable[[Path], None], file: str) -> tuple[str, str]:
    """(where it was seen, the id restored instead)."""
    lookout = Lookout(service)
    pid = service.until(lambda status: status["state"] == "training")["worker"]["pid"]
    assert service.signal(signal.SIGKILL) == -signal.SIGKILL
    await_end(pid)
    victim = newest(service)
    parent = json.loads((victim / "manifest.json").read_text())["parent"]
    damage(victim / file)
    restored = len(service.events("restored"))
    service.start()
    service.until(lambda _: len(service.events("restored")) > restored)
    assert service.events("restored")[-1]["checkpoint"] == parent

    def told(status: Any) -> bool:
        return any(
            each["type"] == "checkpoint-damaged" and victim.name in each["detail"] for each in status["problems"]
        )

    seen = lookout.sees(
        status=told,
        event="checkpoint_damaged",
        fields={"checkpoint": victim.name},
        metric="penstock_problem{checkpoint-damaged}",
        rises=None,
    )
    return seen, victim.name


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", [truncated, flipped])
def test_a_damaged_newest_checkpoint_is_passed_over_for_its_parent(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results, damage: Callable[[Path], None]
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    service = witness(name)
    victims = []
    with Production(servers, name, witness_record, partitions=2, rate=30) as production:
        for file in FILES:
            begun = service.until(lambda status: status["state"] == "training")["step"]
            service.until(lambda status, begun=begun: status["step"] > begun + 10)
            service.checkpoint()
            seen, victim = damaged_and_started(service, damage, file)
            victims.append(victim)
        sent = production.stop()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    listed = {each["id"]: each["pinned"] for each in service.get("/v1/checkpoints?limit=100")["checkpoints"]}
    assert all(listed.get(victim) for victim in victims), f"evidence {victims} isn't kept: {listed}"
    store = CheckpointStore(service.checkpoints)
    for victim in victims:
        with pytest.raises(CheckpointDamaged):
            store.verify(victim)
    results.add(
        f"newest checkpoint {damage.__name__}, each file",
        verdict,
        rounds=len(FILES),
        outcome="its parent was restored, what came after trained again, the damaged one pinned",
        visible=f"after the restore: {seen}",
    )
