"""What the Kafka clients can't do, and what a login needs. Pure."""

from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from streaming.settings import KafkaSettings

WITHOUT_EQUALS = ("sasl_username", "sasl_password", "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password")


def beyond_tensorflow_io(kafka: "KafkaSettings") -> str | None:
    """The first setting that tensorflow-io's client (librdkafka 1.5.0) can't take, and why; None = it can serve.

    SCRAM hangs on Kafka 4 with the right password; for OAUTHBEARER nobody can hand it a token.
    """
    if kafka.security_protocol.startswith("SASL") and kafka.sasl_mechanism not in (None, "PLAIN"):
        return f"sasl_mechanism is {kafka.sasl_mechanism}"
    for name in WITHOUT_EQUALS:
        value = getattr(kafka, name)
        if "=" in str(value.get_secret_value() if isinstance(value, SecretStr) else value):
            return f"{name} holds '='"
    return None


def missing_for_login(kafka: "KafkaSettings") -> str | None:
    """The settings that the login needs and doesn't have, in one sentence; None = it has all."""
    if not kafka.security_protocol.startswith("SASL"):
        return None
    if kafka.sasl_mechanism == "OAUTHBEARER":
        if kafka.sasl_oauthbearer_token_file is None:
            return "sasl_mechanism OAUTHBEARER needs sasl_oauthbearer_token_file"
    elif not (kafka.sasl_mechanism and kafka.sasl_username and kafka.sasl_password):
        return "security_protocol SASL_* needs sasl_mechanism, sasl_username and sasl_password"
    return None
