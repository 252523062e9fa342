"""Both readers against a broker behind TLS: whatever login each can do reads, and no certificate of another host."""

import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from kafka.admin import ACLOperation, ResourcePattern, ResourceType

from streaming.kafka.readers import chosen, open_reader
from streaming.settings import KafkaSettings
from tests.line.line import produce
from tests.secure_kafka import SECRET_TOPIC, USER, SecureKafka
from tests.streaming.kafka.test_contact import RIGHT, SCRAM, with_token

pytestmark = [pytest.mark.kafka, pytest.mark.tf]
GROUP = "penstock.readers"
VALUES = [b"a", b"b", b"c"]


@pytest.fixture(scope="module")
def filled(secure_kafka: SecureKafka) -> str:
    """A topic of three records."""
    topic = secure_kafka.create("readers")
    produce(secure_kafka.bootstrap_servers, topic, VALUES)
    return topic


def read(tree: dict[str, Any], group: str = GROUP) -> list[bytes]:
    reader = open_reader(KafkaSettings.model_validate(tree), group)
    zero, three = tf.constant(0, tf.int64), tf.constant(3, tf.int64)
    (fetched,) = tf.data.Dataset.from_tensors(0).map(lambda _: reader(zero, zero, three))
    if hasattr(reader, "close"):
        reader.close()
    return [value for value, offset in zip(fetched[0].numpy(), fetched[2].numpy(), strict=True) if offset >= 0]


@pytest.mark.parametrize("case", RIGHT)
def test_whoever_gets_in_reads(secure_kafka: SecureKafka, filled: str, tmp_path: Path, case: str) -> None:
    tree = RIGHT[case](secure_kafka, tmp_path) | {"topic": filled}
    assert read(tree) == VALUES
    name, _ = chosen(KafkaSettings.model_validate(tree))
    assert name == ("tensorflow-io" if case in ("PLAIN", "mTLS", "mTLS, encrypted key") else "confluent-kafka")


@pytest.mark.parametrize("case", ["PLAIN", "mTLS", "mTLS, encrypted key"])
def test_what_tensorflow_io_reads_confluent_kafka_reads_too(
    secure_kafka: SecureKafka, filled: str, tmp_path: Path, case: str
) -> None:
    assert read(RIGHT[case](secure_kafka, tmp_path) | {"topic": filled, "reader": "confluent"}) == VALUES


def test_tensorflow_io_takes_any_name_so_python_has_to_look(secure_kafka: SecureKafka, filled: str) -> None:
    """The reason for `contact.Names`: when this fails, its client has learnt to check."""
    assert read(secure_kafka.login("ELSEWHERE", topic=filled, reader="tensorflow-io")) == VALUES


@pytest.mark.parametrize("name", ["tensorflow-io", "confluent"])
def test_without_a_ca_of_its_own_a_reader_takes_those_that_python_takes(
    secure_kafka: SecureKafka, filled: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure_kafka.authority.cafile))
    assert read(secure_kafka.login(topic=filled, reader=name, ssl_cafile=None)) == VALUES


@pytest.mark.slow
def test_a_wrong_password_is_told_and_not_repeated(
    secure_kafka: SecureKafka, filled: str, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = secure_kafka.login(topic=filled, reader="confluent", sasl_password="canary-wr0ng")
    with pytest.raises(tf.errors.OpError, match=r"(?i)authentication") as caught:
        read(tree)
    assert "canary" not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "words"), [("ELSEWHERE", "verify failed"), ("MISLEADING", "verify failed"), ("CA", "verify failed")]
)
def test_confluent_kafka_checks_name_and_chain_itself(
    secure_kafka: SecureKafka, filled: str, case: str, words: str
) -> None:
    tree = secure_kafka.login(topic=filled, reader="confluent", **SCRAM)
    if case == "CA":
        tree["ssl_cafile"] = str(secure_kafka.clients.cafile)
    else:
        tree["bootstrap_servers"] = secure_kafka.server(case)
    began = time.monotonic()
    with pytest.raises(tf.errors.OpError, match=words):
        read(tree)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("name", ["tensorflow-io", "confluent"])
def test_a_group_that_may_only_be_described_is_enough_to_read(
    secure_kafka: SecureKafka, filled: str, name: str
) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.GROUP, "only-for-reading"))
    assert read(secure_kafka.login(topic=filled, reader=name), "only-for-reading") == VALUES


@pytest.mark.parametrize("name", ["tensorflow-io", "confluent"])
def test_a_right_that_is_withdrawn_ends_the_read_with_a_sentence(secure_kafka: SecureKafka, name: str) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.TOPIC, SECRET_TOPIC))
    produce(secure_kafka.bootstrap_servers, SECRET_TOPIC, VALUES)
    with pytest.raises(tf.errors.OpError, match="Topic authorization failed"):
        read(secure_kafka.login(topic=SECRET_TOPIC, reader=name))


@pytest.mark.slow
def test_a_token_is_renewed_from_its_file(secure_kafka: SecureKafka, filled: str, tmp_path: Path) -> None:
    tree = with_token(secure_kafka, tmp_path, secure_kafka.token(seconds=-3600)) | {"topic": filled}
    with pytest.raises(tf.errors.OpError):
        read(tree)
    (tmp_path / "token").write_text(secure_kafka.token())
    assert read(tree) == VALUES
