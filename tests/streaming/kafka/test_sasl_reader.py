"""A password with '=' in it: auto chooses the reader that can take it, and a wrong one is told."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import tensorflow as tf
from kafka import KafkaAdminClient

from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.ports import free_port
from streaming.kafka.readers import open_reader
from streaming.settings import KafkaSettings
from tests.line.line import produce

pytestmark = [pytest.mark.kafka, pytest.mark.tf]
TOPIC = "guarded"
PASSWORD = "a=b c=="


class Guarded(NamedTuple):
    """Addresses of one broker."""

    open: str
    sasl: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker of its own with a second listener, for user `u` alone; three records in its topic."""
    with EmbeddedKafka(tmp_path_factory.mktemp("guarded-kafka")) as broker:
        sasl = f"127.0.0.1:{free_port()}"
        properties = broker.directory / "server.properties"
        lines = dict(line.split("=", 1) for line in properties.read_text().splitlines())
        for name in ("listeners", "advertised.listeners"):
            lines[name] += f",SASL_PLAINTEXT://{sasl}"
        own = ("CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", "SASL_PLAINTEXT:SASL_PLAINTEXT")
        lines["listener.security.protocol.map"] = ",".join(own)
        lines["sasl.enabled.mechanisms"] = "PLAIN"
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        lines["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = f'{module} required user_u="{PASSWORD}";'
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        broker.restart()
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        admin.create_topics({TOPIC: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        admin.close()
        produce(broker.bootstrap_servers, TOPIC, [b"a", b"b", b"c"])
        yield Guarded(broker.bootstrap_servers, sasl)


def read(servers: str, password: str) -> list[bytes]:
    tree = {"bootstrap_servers": servers, "topic": TOPIC, "security_protocol": "SASL_PLAINTEXT"}
    tree |= {"sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password": password}
    reader = open_reader(KafkaSettings.model_validate(tree), "penstock.tests")
    zero, three = tf.constant(0, tf.int64), tf.constant(3, tf.int64)
    (fetched,) = tf.data.Dataset.from_tensors(0).map(lambda _: reader(zero, zero, three))
    values: list[bytes] = fetched[0].numpy().tolist()
    return values


def test_a_password_with_an_equals_sign_reads(guarded: Guarded) -> None:
    assert read(guarded.sasl, PASSWORD) == [b"a", b"b", b"c"]


def test_a_wrong_password_is_told_and_not_repeated(guarded: Guarded) -> None:
    with pytest.raises(tf.errors.OpError, match=r"(?i)authentication") as caught:
        read(guarded.sasl, "wrong=")
    assert "wrong=" not in str(caught.value)
