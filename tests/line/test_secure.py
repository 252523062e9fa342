"""The service behind TLS and a login, as a user runs it: it trains with the right ones, and says what is wrong."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka.admin import ACLOperation, ResourcePattern, ResourceType

from streaming.demo.ports import free_port
from tests.docs import CONTRACT
from tests.line.line import PENSTOCK, Service, nap, produce, record, settled
from tests.secure_kafka import LETTERS, PASSWORD, SECRET_TOPIC, USER, SecureKafka
from tests.streaming.kafka.test_contact import RIGHT, SCRAM, client, with_token
from tests.streaming.kafka.test_names import impostor

pytestmark = [pytest.mark.kafka, pytest.mark.tf]
SOON_S = 15.0
TOKEN = "canary-token"


NOISY = {"TF_CPP_MIN_LOG_LEVEL": "0"}  # asks tensorflow-io to print each of its settings


def service(tmp_path: Path, kafka: dict[str, Any], **settings: object) -> Service:
    tree = {f"kafka.{name}": value for name, value in kafka.items() if name not in ("bootstrap_servers", "topic")}
    more = {"kafka.dead_letter_topic": LETTERS, "service.log_level": "debug", "evaluation.fraction": 0}
    name = {"name": kafka["topic"]}
    wanted = {**tree, **more, **name, **settings}
    return Service(tmp_path, kafka["bootstrap_servers"], kafka["topic"], wanted, NOISY)


def fill(broker: SecureKafka, topic: str, records: int = 60) -> int:
    """Some records, one of them bad."""
    return produce(broker.bootstrap_servers, topic, [*(record(n) for n in range(records)), b"no record"])


def trains(one: Service, produced: int, reader: str) -> None:
    status = one.settled(produced)
    assert status["reader"] == reader
    assert status["problems"] == []
    assert status["records"]["trained"] == produced - 1
    assert status["records"]["dead_lettered"] == 1
    one.checkpoint()


def everything_said(one: Service, token: str) -> dict[str, str]:
    """Logs, answers, metrics, processes, files, and what the command line prints."""
    headers = {"Authorization": f"Bearer {token}"}
    said = {"log": one.log.read_text()}
    worker = one.status()["worker"]["pid"]
    sidecar = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (worker, sidecar):
        said[f"arguments of {pid}"] = Path(f"/proc/{pid}/cmdline").read_text()
    said["environment of the worker"] = Path(f"/proc/{worker}/environ").read_text()
    for path, methods in json.loads(CONTRACT.read_text())["paths"].items():
        if "get" in methods and path != "/v1/events":
            answer = httpx.get(one.url + path.replace("{id}", "e000001-s000000001"), headers=headers, timeout=30)
            said[path] = f"{answer.headers}\n{answer.text}"
    for file in one.checkpoints.rglob("*"):
        if file.is_file():
            said[str(file)] = file.read_bytes().decode("latin-1")
    environment = os.environ | one.environment
    shown = subprocess.run([PENSTOCK, "settings", "show", "--json"], env=environment, capture_output=True, text=True)
    said["settings show"] = shown.stdout + shown.stderr
    assert "sasl_password" in said["settings show"]
    return said


def test_tensorflow_io_trains_with_a_password_and_the_password_is_nowhere(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    topic = secure_kafka.create("plain")
    produced = fill(secure_kafka, topic)
    with service(tmp_path, secure_kafka.login(topic=topic), **{"service.token": TOKEN}) as one:
        status = one.settled(produced)
        assert (status["reader"], status["problems"], status["records"]["dead_lettered"]) == ("tensorflow-io", [], 1)
        said = everything_said(one, TOKEN)
    said["log at the end"] = one.log.read_text()
    assert len(said) > 20
    assert any(name.endswith("model.safetensors") for name in said)
    assert [name for name, text in said.items() if PASSWORD in text or TOKEN in text] == []


def test_tensorflow_io_trains_with_a_certificate(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    topic = secure_kafka.create("mutual")
    produced = fill(secure_kafka, topic)
    kafka = client(secure_kafka, "key pass", ssl_key_password="key pass", topic=topic)
    with service(tmp_path, kafka) as one:
        trains(one, produced, "tensorflow-io")


def test_confluent_kafka_trains_with_scram(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    topic = secure_kafka.create("scram")
    produced = fill(secure_kafka, topic)
    with service(tmp_path, secure_kafka.login(**SCRAM, topic=topic)) as one:
        trains(one, produced, "confluent-kafka (kafka.sasl_mechanism is SCRAM-SHA-512)")
    assert PASSWORD not in one.log.read_text()


WRONG: dict[str, tuple[Callable[[SecureKafka], dict[str, Any]], str]] = {
    "password": (lambda broker: broker.login(sasl_password="canary-wr0ng"), "wrong user name or password"),
    "CA": (lambda broker: broker.login(ssl_cafile=str(broker.clients.cafile)), "is not signed by kafka.ssl_cafile"),
    "advertised name": (
        lambda broker: broker.login("MISLEADING"),
        "certificate is for another host name, not for 127.0.0.1",
    ),
    "right to read": (lambda broker: broker.login(topic=SECRET_TOPIC), "no right to read topic secrets"),
    "group": (lambda broker: broker.login(group_id="forbidden"), "no right to describe consumer group forbidden"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_a_sentence_in_status_and_log_within_15_s(
    secure_kafka: SecureKafka, tmp_path: Path, case: str
) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.TOPIC, SECRET_TOPIC))
    change, sentence = WRONG[case]
    with service(tmp_path, change(secure_kafka)) as one:
        status = one.until(lambda status: status["degraded"], deadline_s=SOON_S)
        assert status["degraded"]["reason"] == "kafka-unavailable"
        assert sentence in status["degraded"]["detail"]
        assert any(sentence in event["detail"] for event in one.events("kafka_unavailable"))
        assert one.get("/livez")["status"] == "ok"
    assert not re.search(f"canary|{PASSWORD}", one.log.read_text())


def test_a_group_that_can_not_be_written_is_a_warning_within_15_s(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.GROUP, "only-described"))
    with service(tmp_path, secure_kafka.login(group_id="only-described")) as one:
        status = one.until(lambda status: status["problems"], deadline_s=SOON_S)
        assert [problem["id"] for problem in status["problems"]] == ["mirror-failing"]
        assert "no right to read consumer group only-described" in status["problems"][0]["detail"]
        assert status["degraded"] is None
        assert one.events("mirror_failed")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["PLAIN with '='", "SCRAM-SHA-256", "SCRAM with ',' and '='"])
def test_every_other_login_trains(secure_kafka: SecureKafka, tmp_path: Path, case: str) -> None:
    topic = secure_kafka.create(re.sub(r"\W+", "", case).lower())
    produced = fill(secure_kafka, topic)
    with service(tmp_path, RIGHT[case](secure_kafka, tmp_path) | {"topic": topic}) as one:
        status = one.settled(produced)
        assert status["reader"].startswith("confluent-kafka (kafka.sasl_")


@pytest.mark.slow
def test_training_outlives_its_tokens(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    """Tokens of 20 s, renewed every 5, for a minute and a half; the broker ends a session with its token."""
    topic = secure_kafka.create("tokens")
    kafka = with_token(secure_kafka, tmp_path, secure_kafka.token(seconds=20)) | {"topic": topic}
    over = threading.Event()

    def renew() -> None:
        while not over.wait(5):
            file = tmp_path / "next"
            file.write_text(secure_kafka.token(seconds=20))
            file.replace(tmp_path / "token")

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with service(tmp_path, kafka) as one:
            produced, began = 0, time.monotonic()
            while time.monotonic() - began < 90:
                produced += fill(secure_kafka, topic, 20)
                status = one.settled(produced)
                assert status["worker"]["restarts"] == 0
            assert status["records"]["trained"] > 100
            assert "eyJ" not in one.log.read_text()
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_an_impostor_that_turns_up_while_tensorflow_io_reads_ends_the_reading_until_it_is_gone(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    """Its client would connect to it; a round that is under way is dropped, and none begins."""
    topic, port = secure_kafka.create("impostor"), free_port()
    produced = produce(secure_kafka.bootstrap_servers, topic, [record(n % 50) for n in range(8000)])
    kafka = secure_kafka.login(topic=topic)
    kafka["bootstrap_servers"] += f",localhost:{port}"
    slowly = {"pipeline.batch_size": 1, "kafka.range_records": 64, "pipeline.shuffle_buffer": 64}
    with service(tmp_path, kafka, **slowly) as one:
        one.until(lambda status: status["step"] >= 3)
        with impostor(secure_kafka.authority, "other.example", port=port):
            sentence = f"localhost:{port}: its certificate is for another host name"
            one.until(lambda status: sentence in str(status["degraded"]), deadline_s=30)
            before = settled(one.until(lambda status: status["state"] == "waiting"))
            nap(3)
            assert settled(one.status()) == before < produced
        status = one.settled(produced)
        assert (status["degraded"], status["worker"]["restarts"]) == (None, 0)
        assert status["records"]["trained"] == produced


@pytest.mark.slow
def test_a_password_that_is_mended_is_enough(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    """A token in place of a wrong one: the same worker goes on by itself."""
    topic = secure_kafka.create("mended")
    produced = fill(secure_kafka, topic)
    with service(tmp_path, with_token(secure_kafka, tmp_path, "wrong") | {"topic": topic}) as one:
        one.until(lambda status: "the token of" in str(status["degraded"]), deadline_s=SOON_S)
        (tmp_path / "token").write_text(secure_kafka.token())
        status = one.settled(produced)
        assert (status["degraded"], status["worker"]["restarts"]) == (None, 0)
