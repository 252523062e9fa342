"""Which client reads, and why, as the status says it."""

import pytest

from streaming.kafka.readers import chosen
from streaming.settings import KafkaSettings

SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password": "p"}
TOKEN = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_oauthbearer_token_file": __file__}


@pytest.mark.parametrize(
    ("settings", "client", "status"),
    [
        ({}, "tensorflow-io", "tensorflow-io"),
        (SASL, "tensorflow-io", "tensorflow-io"),
        ({"reader": "tensorflow-io"}, "tensorflow-io", "tensorflow-io"),
        ({"reader": "confluent"}, "confluent-kafka", "confluent-kafka (kafka.reader)"),
        (SASL | {"sasl_password": "a=b"}, "confluent-kafka", "confluent-kafka (kafka.sasl_password holds '=')"),
        (
            SASL | {"sasl_mechanism": "SCRAM-SHA-256"},
            "confluent-kafka",
            "confluent-kafka (kafka.sasl_mechanism is SCRAM-SHA-256)",
        ),
        (
            SASL | {"sasl_mechanism": "SCRAM-SHA-512"},
            "confluent-kafka",
            "confluent-kafka (kafka.sasl_mechanism is SCRAM-SHA-512)",
        ),
        (TOKEN, "confluent-kafka", "confluent-kafka (kafka.sasl_mechanism is OAUTHBEARER)"),
        ({"sasl_mechanism": "SCRAM-SHA-512"}, "tensorflow-io", "tensorflow-io"),
        (SASL | {"sasl_username": "CN=me"}, "confluent-kafka", "confluent-kafka (kafka.sasl_username holds '=')"),
        ({"reader": "confluent", "ssl_key_password": "="}, "confluent-kafka", "confluent-kafka (kafka.reader)"),
    ],
)
def test_auto_takes_tensorflow_io_where_it_can_serve(settings: dict[str, str], client: str, status: str) -> None:
    assert chosen(KafkaSettings.model_validate(settings)) == (client, status)
