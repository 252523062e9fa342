"""Whatever is killed, each record has exactly one fate; judged by a program that uses nothing of ours."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.line import HERE, Service, produce, record

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

PARTITIONS = 3


def listing(service: Service, servers: str, topic: str, letters: str, checkpoint: str) -> Any:
    command = [sys.executable, str(HERE / "stock_listing.py"), servers, topic, letters, service.url, checkpoint]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    print(json.dumps(found))
    return found


def fill(servers: str, topic: str) -> int:
    """Good and bad records, tombstones, and transactions of both ends, whose markers and aborted records are holes."""
    produced = 0
    for block in range(6):
        values = [record(block * 100 + n) for n in range(100)]
        values[17], values[40], values[63] = b"nonsense", b"", values[63][: len(values[63]) // 2]
        produced += produce(servers, topic, values, PARTITIONS, transaction=True if block % 2 else None)
        produce(servers, topic, [record(n) for n in range(7)], PARTITIONS, transaction=False)
    return produced


def test_after_kills_of_worker_and_service_every_offset_is_in_exactly_one_kind(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, letters = topic(PARTITIONS), topic(1)
    servers = kafka.bootstrap_servers
    produced = fill(servers, name)
    service = serve(name, {"kafka.dead_letter_topic": letters, "kafka.range_records": 32})

    first = service.until(lambda status: status["step"] >= 8)
    service.kill_worker()
    service.until(lambda status: status["worker"]["restarts"] == 1 and status["step"] > 0)
    produced += fill(servers, name)
    service.until(lambda status: status["step"] > first["step"] + 8)
    assert service.signal(signal.SIGKILL) == -signal.SIGKILL
    service.start()
    service.settled(produced)
    found = listing(service, servers, name, letters, service.checkpoint())

    assert found["records"] == produced
    assert found["in_topic_not_in_ledger"] == []
    assert found["in_ledger_not_in_topic"] == []
    assert found["of_two_kinds"] == []
    assert found["letters_without_entry"] == []
    assert found["entries_without_letter"] == []
    assert found["kinds"]["absent"] > 0
    assert found["kinds"]["skipped"] == 12
    assert found["kinds"]["dead_lettered"] == 24
    assert service.events("restored")
