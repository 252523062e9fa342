"""What the doctor finds on a real broker, and that it says what to do about it."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from streaming.demo.ports import free_port
from streaming.doctor.cli import findings
from streaming.doctor.finding import Finding, Verdict
from streaming.ledger.ledger import Generation, Ledger
from streaming.settings import Settings, parse_settings
from tests.conftest import Broker, TopicFactory
from tests.line.line import PENSTOCK, produce
from tests.service.checkpoints import write
from tests.streaming.kafka.test_retention import produce_at

pytestmark = pytest.mark.kafka
DAY_S = 24 * 3600


def settings(servers: str, directory: Path, topic: str, **kafka: Any) -> Settings:
    return parse_settings(
        {
            "name": "training",
            "kafka": {"bootstrap_servers": servers, "topic": topic, "bootstrap_timeout_s": 2, **kafka},
            "checkpoint": {"directory": str(directory / "checkpoints")},
        }
    )


def examined(wanted: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings(wanted, quick=True)}


def remedy(found: dict[str, Finding], check: str, verdict: Verdict) -> str:
    finding = found[check]
    assert finding.verdict is verdict, finding
    return f"{finding.detail}: {finding.remedy}"


def test_a_healthy_topic_is_all_green(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    name, letters = topic(2, {"max.message.bytes": "1000000"}), topic(1)
    produce(kafka.bootstrap_servers, name, [b"x"] * 10, 2)
    found = examined(settings(kafka.bootstrap_servers, tmp_path, name, dead_letter_topic=letters))
    quick = {check: finding for check, finding in found.items() if "--quick" not in finding.detail}
    assert {finding.verdict for finding in quick.values()} == {Verdict.OK}, quick
    assert "2 partitions" in quick["topic"].detail
    assert "10 offsets" in quick["records"].detail
    assert "7.0 days" in quick["retention"].detail
    assert all(finding.remedy is None for finding in quick.values())
    assert not (tmp_path / "checkpoints").exists()  # it only looks


def test_a_broker_that_is_away_is_red_and_the_rest_is_not_guessed(tmp_path: Path) -> None:
    began = time.monotonic()
    found = examined(settings(f"127.0.0.1:{free_port()}", tmp_path, "pets"))
    assert "kafka.bootstrap_servers" in remedy(found, "broker", Verdict.FAILED)
    assert time.monotonic() - began < 15
    assert {found[check].verdict for check in ("topic", "group", "retention", "codec")} == {Verdict.SKIPPED}


def test_missing_topics_are_red_with_the_remedy(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    found = examined(settings(kafka.bootstrap_servers, tmp_path, "is-not-there"))
    assert "does not exist: create it" in remedy(found, "topic", Verdict.FAILED)
    found = examined(settings(kafka.bootstrap_servers, tmp_path, topic(1), dead_letter_topic="nor-this"))
    assert "nor-this does not exist: create it" in remedy(found, "dead letters", Verdict.FAILED)
    assert "nothing to train yet" in remedy(found, "records", Verdict.WARNING)


def test_gzip_warns_where_the_old_client_would_read_it(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    name, plain = topic(2), topic(1)
    produce(kafka.bootstrap_servers, name, [b"x"] * 4, 2)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, compression_type="gzip")
    producer.send(name, b"x" * 100, partition=1).get(timeout=30)
    producer.close()
    produce(kafka.bootstrap_servers, plain, [b"x"])
    said = remedy(examined(settings(kafka.bootstrap_servers, tmp_path, name)), "codec", Verdict.WARNING)
    assert said.startswith("gzip, none; read by tensorflow-io")
    assert "kafka.reader = confluent" in said
    for other in (
        settings(kafka.bootstrap_servers, tmp_path, name, reader="confluent"),
        settings(kafka.bootstrap_servers, tmp_path, plain),
    ):
        assert examined(other)["codec"].verdict is Verdict.OK
    broker_side = topic(1, {"compression.type": "gzip"})
    assert examined(settings(kafka.bootstrap_servers, tmp_path, broker_side))["codec"].verdict is Verdict.WARNING


def test_message_sizes_are_compared(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    large, letters = topic(1, {"max.message.bytes": str(64 << 20)}), topic(1, {"max.message.bytes": "100000"})
    found = examined(settings(kafka.bootstrap_servers, tmp_path, large))
    assert "records.max_bytes" in remedy(found, "message size", Verdict.WARNING)
    name = topic(1)
    found = examined(settings(kafka.bootstrap_servers, tmp_path, name, dead_letter_topic=letters))
    assert "without their value" in remedy(found, "message size", Verdict.WARNING)


def test_retention_is_held_against_the_newest_checkpoint(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    name = topic(1, {"retention.ms": str(10 * DAY_S * 1000)})
    produce_at(kafka.bootstrap_servers, name, 9.5 * DAY_S, 1 * DAY_S)
    wanted = settings(kafka.bootstrap_servers, tmp_path, name)
    assert "train faster" in remedy(examined(wanted), "retention", Verdict.WARNING)  # a new training begins with it
    topic_id = _topic_id(wanted)
    ledger = Ledger(Generation("c", name, topic_id))
    ledger.open_partition(0, 0)
    ledger.record(0, "trained", [0])
    write(tmp_path / "checkpoints", ledger)
    assert "9.0 days" in examined(wanted)["retention"].detail
    other = Ledger(Generation("c", name, "another-id"))
    other.open_partition(0, 0)
    write(tmp_path / "others", other)
    elsewhere = wanted.model_copy(
        update={"checkpoint": wanted.checkpoint.model_copy(update={"directory": tmp_path / "others"})}
    )
    assert "topic-recreated" in remedy(examined(elsewhere), "retention", Verdict.FAILED)


def test_a_folder_that_cannot_be_read_is_red(kafka: Broker, topic: TopicFactory, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    found = examined(settings(kafka.bootstrap_servers, tmp_path, topic(1)))
    assert "checkpoint.directory" in remedy(found, "checkpoints", Verdict.FAILED)


def test_the_command_prints_a_line_each_and_exits_1_when_something_is_red(kafka: Broker, tmp_path: Path) -> None:
    flags = ["--set", f"kafka.bootstrap_servers={kafka.bootstrap_servers}", "--set", "kafka.topic=is-not-there"]
    people = subprocess.run([PENSTOCK, "doctor", "--quick", *flags], capture_output=True, text=True, cwd=tmp_path)
    assert (people.returncode, people.stderr) == (1, "")
    assert "✗ topic         topic is-not-there does not exist\n" in people.stdout
    assert "→ create it, or correct kafka.topic\n" in people.stdout
    scripts = subprocess.run(
        [PENSTOCK, "doctor", "--quick", "--json", *flags], capture_output=True, text=True, cwd=tmp_path
    )
    told = json.loads(scripts.stdout)
    assert (scripts.returncode, told["ok"]) == (1, False)
    assert [one["check"] for one in told["checks"] if one["verdict"] == "failed"] == ["topic"]
    wrong = subprocess.run([PENSTOCK, "doctor", "--set", "kafka.topci=x"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr) == (2, "penstock: kafka.topci: unknown setting\n")


def _topic_id(wanted: Settings) -> str:
    from streaming.kafka.broker import Broker as Asked

    with Asked(wanted.kafka, "tests") as broker:
        return broker.topic().generation.topic_id
