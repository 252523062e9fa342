"""First contact with a broker behind TLS, logins and rights: right ones get through, every wrong one is a sentence."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ACLOperation, ResourcePattern, ResourceType

from streaming.errors import (
    BrokerUnreachable,
    BrokerUntrusted,
    KafkaUnavailable,
    LoginRefused,
    RightMissing,
    TopicMissing,
)
from streaming.kafka.broker import Broker
from streaming.kafka.contact import Names, check_group
from streaming.kafka.login import expires_at
from streaming.kafka.watch import Watch
from streaming.kafka.wire import Address, addresses
from streaming.settings import KafkaSettings
from tests.secure_kafka import (
    EQUALS,
    EQUALS_PASSWORD,
    ODD_PASSWORD,
    ODD_USER,
    PASSWORD,
    SECRET_TOPIC,
    STRANGER,
    TOPIC,
    USER,
    SecureKafka,
)
from tests.streaming.kafka.test_broker_and_watch import until

pytestmark = pytest.mark.kafka
SOON_S = 10.0
GROUP = "penstock.tests"
SCRAM = {"sasl_mechanism": "SCRAM-SHA-512"}
Change = Callable[[SecureKafka, Path], dict[str, Any]]


def with_token(broker: SecureKafka, folder: Path, token: str) -> dict[str, Any]:
    file = folder / "token"
    file.write_text(token)
    nobody = {"sasl_username": None, "sasl_password": None}
    return broker.login(sasl_mechanism="OAUTHBEARER", sasl_oauthbearer_token_file=str(file), **nobody)


def client(broker: SecureKafka, password: str | None = None, **changes: object) -> dict[str, Any]:
    return broker.mutual(
        broker.clients.issue("client", "client.example", common_name=USER, password=password), **changes
    )


def foreign_client(broker: SecureKafka) -> dict[str, Any]:
    return broker.mutual(broker.authority.issue("foreign", "client.example", common_name=USER))


RIGHT: dict[str, Change] = {
    "PLAIN": lambda broker, _: broker.login(),
    "PLAIN with '='": lambda broker, _: broker.login(sasl_username=EQUALS, sasl_password=EQUALS_PASSWORD),
    "SCRAM-SHA-256": lambda broker, _: broker.login(sasl_mechanism="SCRAM-SHA-256"),
    "SCRAM-SHA-512": lambda broker, _: broker.login(**SCRAM),
    "SCRAM with ',' and '='": lambda broker, _: broker.login(
        **SCRAM, sasl_username=ODD_USER, sasl_password=ODD_PASSWORD
    ),
    "OAUTHBEARER": lambda broker, folder: with_token(broker, folder, broker.token()),
    "mTLS": lambda broker, _: client(broker),
    "mTLS, encrypted key": lambda broker, _: client(broker, "key pass", ssl_key_password="key pass"),
}

WRONG: dict[str, tuple[Change, type[KafkaUnavailable], str]] = {
    "password": (
        lambda broker, _: broker.login(sasl_password="wr0ng"),
        LoginRefused,
        r"wrong user name or password \(user trainer, SASL PLAIN\)",
    ),
    "SCRAM password": (
        lambda broker, _: broker.login(**SCRAM, sasl_password="wr0ng"),
        LoginRefused,
        r"wrong user name or password \(user trainer, SASL SCRAM-SHA-512\)",
    ),
    "SCRAM user": (
        lambda broker, _: broker.login(**SCRAM, sasl_username="nobody"),
        LoginRefused,
        "wrong user name or password",
    ),
    "token, expired": (
        lambda broker, folder: with_token(broker, folder, broker.token(seconds=-3600)),
        LoginRefused,
        "the token of .*/token is refused",
    ),
    "token, of another issuer": (
        lambda broker, folder: with_token(broker, folder, SecureKafka(folder).token()),
        LoginRefused,
        "the token of .*/token is refused",
    ),
    "token, empty": (
        lambda broker, folder: with_token(broker, folder, "\n"),
        LoginRefused,
        "sasl_oauthbearer_token_file = .*: it holds no token",
    ),
    "CA": (
        lambda broker, _: broker.login(ssl_cafile=str(broker.clients.cafile)),
        BrokerUntrusted,
        "certificate is not signed by kafka.ssl_cafile = .*ca.pem",
    ),
    "CA, of the system": (
        lambda broker, _: broker.login(ssl_cafile=None),
        BrokerUntrusted,
        "certificate is not signed by a CA of this system",
    ),
    "CA, no PEM": (lambda broker, _: broker.login(ssl_cafile=__file__), LoginRefused, "kafka.ssl_cafile = .*no PEM"),
    "name": (
        lambda broker, _: broker.login("ELSEWHERE"),
        BrokerUntrusted,
        "certificate is for another host name, not for localhost",
    ),
    "advertised name": (
        lambda broker, _: broker.login("MISLEADING"),
        BrokerUntrusted,
        r"Kafka at 127\.0\.0\.1:\d+: its certificate is for another host name, not for 127\.0\.0\.1",
    ),
    "client certificate, none": (
        lambda broker, _: client(broker, ssl_certfile=None, ssl_keyfile=None),
        LoginRefused,
        "wants a client certificate; set kafka.ssl_certfile",
    ),
    "client certificate, foreign": (
        lambda broker, _: foreign_client(broker),
        LoginRefused,
        "refuses the certificate in .*foreign.crt",
    ),
    "client key, no password": (
        lambda broker, _: client(broker, "key pass"),
        LoginRefused,
        "can't be used together or with ssl_key_password",
    ),
    "protocol, plain": (
        lambda broker, _: {"bootstrap_servers": broker.server("LOGIN"), "topic": TOPIC},
        BrokerUnreachable,
        "the port speaks TLS; see kafka.security_protocol",
    ),
    "protocol, TLS": (
        lambda broker, _: broker.login(bootstrap_servers=broker.bootstrap_servers),
        BrokerUnreachable,
        "the TLS handshake",
    ),
    "protocol, no login": (
        lambda broker, _: broker.login(security_protocol="SSL", sasl_mechanism=None),
        BrokerUnreachable,
        "closed the connection; see kafka.security_protocol",
    ),
    "protocol, a login": (
        lambda broker, _: broker.login(bootstrap_servers=broker.bootstrap_servers, security_protocol="SASL_PLAINTEXT"),
        LoginRefused,
        "takes no SASL login",
    ),
    "port": (lambda broker, _: broker.login(bootstrap_servers="localhost:1"), BrokerUnreachable, "connection refused"),
    "host": (
        lambda broker, _: broker.login(bootstrap_servers="no.such.host.invalid:1"),
        BrokerUnreachable,
        "can't be resolved",
    ),
    "port of one, password at the other": (
        lambda broker, _: broker.login(bootstrap_servers=f"localhost:1,{broker.server('LOGIN')}", sasl_password="x"),
        LoginRefused,
        "wrong user name or password",
    ),
    "right to describe": (
        lambda broker, _: broker.login(sasl_username=STRANGER),
        RightMissing,
        "no right to describe topic pets; grant Describe and Read",
    ),
    "topic": (
        lambda broker, _: {"bootstrap_servers": broker.bootstrap_servers, "topic": "absent"},
        TopicMissing,
        "topic absent does not exist",
    ),
}


def settings(tree: dict[str, Any]) -> KafkaSettings:
    return KafkaSettings.model_validate(tree)


@pytest.mark.parametrize("case", RIGHT)
def test_whoever_may_gets_in(secure_kafka: SecureKafka, tmp_path: Path, case: str) -> None:
    kafka = settings(RIGHT[case](secure_kafka, tmp_path))
    with Broker(kafka, "tests") as broker:
        facts = broker.topic()
        assert broker.log_ends(facts.partitions).keys() == {0}
        Names(kafka, "tests").check(broker.addresses())
    check_group(kafka, "tests", GROUP)


@pytest.mark.parametrize("case", WRONG)
def test_whoever_may_not_is_told_why_within_seconds(secure_kafka: SecureKafka, tmp_path: Path, case: str) -> None:
    change, kind, sentence = WRONG[case]
    kafka = settings(change(secure_kafka, tmp_path))
    began = time.monotonic()
    with pytest.raises(KafkaUnavailable, match=sentence) as caught, Broker(kafka, "tests") as broker:
        broker.topic()
    assert time.monotonic() - began < SOON_S
    assert type(caught.value) is kind
    text = str(caught.value)
    assert "\n" not in text
    secrets = (PASSWORD, "wr0ng", "key pass", "eyJ")
    assert not any(secret in text for secret in secrets)


def test_without_the_right_to_read_a_topic_it_is_told(secure_kafka: SecureKafka) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.TOPIC, SECRET_TOPIC))
    with (
        pytest.raises(RightMissing, match="no right to read topic secrets; grant Read to this user"),
        Broker(settings(secure_kafka.login(topic=SECRET_TOPIC)), "tests") as broker,
    ):
        broker.topic()


def test_without_rights_on_the_group_it_is_told_which(secure_kafka: SecureKafka) -> None:
    kafka = settings(secure_kafka.login())
    with pytest.raises(RightMissing, match="no right to describe consumer group unknown; grant Describe and Read"):
        check_group(kafka, "tests", "unknown")
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.GROUP, "only-seen"))
    with pytest.raises(RightMissing, match="no right to read consumer group only-seen; grant Describe and Read"):
        check_group(kafka, "tests", "only-seen")


@pytest.mark.parametrize(
    ("group", "error", "mirror_error"),
    [
        ("penstock.watched", None, None),
        ("nobodys", "no right to describe consumer group nobodys", "no right to describe consumer group nobodys"),
        ("only-watched", None, "no right to read consumer group only-watched"),
    ],
)
def test_the_watch_waits_for_describe_and_only_warns_of_read(
    secure_kafka: SecureKafka, group: str, error: str | None, mirror_error: str | None
) -> None:
    secure_kafka.allow(USER, ACLOperation.DESCRIBE, ResourcePattern(ResourceType.GROUP, "only-watched"))
    watch = Watch(settings(secure_kafka.login()), "tests", group_id=group, start="earliest")
    watch.start()
    try:
        until(lambda: watch.view.facts or watch.view.error, SOON_S)
        assert (watch.error() or "").startswith(error or "")
        assert (watch.error() is None) == (error is None)
        assert (watch.mirror_error() or "").startswith(mirror_error or "")
        assert (watch.mirror_error() is None) == (mirror_error is None)
    finally:
        watch.stop()


def test_a_renewed_password_is_a_new_connections_password_and_a_token_is_read_anew(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    kafka = settings(with_token(secure_kafka, tmp_path, secure_kafka.token(seconds=-3600)))
    watch = Watch(kafka, "tests", interval_s=0.1)
    watch.start()
    try:
        until(lambda: "token" in (watch.error() or ""), SOON_S)
        (tmp_path / "token").write_text(secure_kafka.token())
        until(lambda: watch.view.facts is not None and watch.error() is None, SOON_S)
    finally:
        watch.stop()


def test_a_token_says_when_it_expires(secure_kafka: SecureKafka) -> None:
    assert expires_at(secure_kafka.token(seconds=1000)) == pytest.approx(time.time() + 1000, abs=2)
    for opaque in ("opaque", "a.b.c", "a.e30.c", "..", "a.bnVsbA.c"):
        assert expires_at(opaque) == pytest.approx(time.time() + 300, abs=2)


def test_addresses_are_those_of_the_setting() -> None:
    assert addresses("a:1,[::1]:2,b.c:3") == (Address("a", 1), Address("::1", 2), Address("b.c", 3))
    assert [str(each) for each in addresses("a:1,[::1]:2")] == ["a:1", "[::1]:2"]


def test_a_broker_that_stays_silent_is_told_of(secure_kafka: SecureKafka) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        kafka = settings(secure_kafka.login(bootstrap_servers=servers, bootstrap_timeout_s=1))
        with pytest.raises(BrokerUnreachable, match="no answer within 1 s"), Broker(kafka, "tests"):
            pass
