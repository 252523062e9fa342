"""What a Python client logs in with: a user name and a password, or a token that is read anew each time."""

import base64
import json
import time
from typing import Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from streaming.errors import LoginRefused
from streaming.settings import KafkaSettings


def sasl_options(kafka: KafkaSettings) -> dict[str, Any]:
    """kafka-python's options of the login; empty without one."""
    if not kafka.security_protocol.startswith("SASL"):
        return {}
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return {"sasl_mechanism": kafka.sasl_mechanism, "sasl_oauth_token_provider": TokenFile(kafka)}
    assert kafka.sasl_username is not None, "the settings ask for it"
    assert kafka.sasl_password is not None, "the settings ask for it"
    scram = kafka.sasl_mechanism != "PLAIN"
    return {
        "sasl_mechanism": kafka.sasl_mechanism,
        # kafka-python 3.0.12 leaves out the escapes of RFC 5802, section 5.1
        "sasl_plain_username": _saslname(kafka.sasl_username) if scram else kafka.sasl_username,
        "sasl_plain_password": kafka.sasl_password.get_secret_value(),
    }


UNKNOWN_S = 300.0


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """kafka-python's token provider."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__()
        self._kafka = kafka

    def token(self) -> str:
        return read_token(self._kafka)


def read_token(kafka: KafkaSettings) -> str:
    """As it stands in the file now: whoever put it there renews it. Raises LoginRefused."""
    file = kafka.sasl_oauthbearer_token_file
    assert file is not None, "the settings ask for it"
    try:
        token = file.read_text().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise LoginRefused(f"kafka.sasl_oauthbearer_token_file = {file}: {why}") from error
    if not token or not token.isascii() or not token.isprintable():
        raise LoginRefused(f"kafka.sasl_oauthbearer_token_file = {file}: it holds no token")
    return token


def expires_at(token: str) -> float:
    """When a token expires, Unix seconds; one that doesn't say is looked at again in five minutes."""
    try:
        part = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return time.time() + UNKNOWN_S


def _saslname(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")
