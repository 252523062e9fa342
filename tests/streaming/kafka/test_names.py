"""Every broker's name is looked at from Python, for the reader that takes any."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streaming.errors import BrokerUntrusted
from streaming.kafka.contact import Names
from streaming.kafka.watch import Watch
from streaming.kafka.wire import Address
from tests.certificates import Authority
from tests.secure_kafka import SecureKafka
from tests.streaming.kafka.test_broker_and_watch import until
from tests.streaming.kafka.test_contact import SOON_S, settings

pytestmark = pytest.mark.kafka


@contextmanager
def impostor(authority: Authority, *hosts: str, port: int = 0) -> Iterator[tuple[int, list[float]]]:
    """Speaks TLS with a certificate of the same CA for other hosts; its port, and when it was connected to."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("impostor", *hosts))
    seen: list[float] = []
    with socket.create_server(("127.0.0.1", port)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                seen.append(time.monotonic())
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def test_every_advertised_name_is_checked_and_that_holds_for_a_while(secure_kafka: SecureKafka) -> None:
    names = Names(settings(secure_kafka.login()), "tests")
    with impostor(secure_kafka.authority, "localhost") as (port, seen):
        for _ in range(3):
            names.check([Address("localhost", port)])
        assert len(seen) == 1
    with impostor(secure_kafka.authority, "other.example") as (port, seen):
        for _ in range(2):  # no name is remembered as wrong: it may be mended
            with pytest.raises(
                BrokerUntrusted, match=f"Kafka at localhost:{port}: its certificate is for another host"
            ):
                names.check([Address("localhost", port)])
        assert len(seen) == 2


def test_a_broker_that_is_away_holds_up_nobody(secure_kafka: SecureKafka) -> None:
    Names(settings(secure_kafka.login()), "tests").check([Address("localhost", 1)])


def test_the_watch_of_a_reader_without_names_sees_an_impostor(secure_kafka: SecureKafka) -> None:
    """The reader's rounds are gated by this view."""
    with impostor(secure_kafka.authority, "other.example") as (port, _):
        servers = f"{secure_kafka.server('LOGIN')},localhost:{port}"
        watches = [
            Watch(settings(secure_kafka.login(bootstrap_servers=servers)), "tests", names=names)
            for names in (True, False)
        ]
        for watch in watches:
            watch.start()
        try:
            until(lambda: watches[0].view.error and watches[1].view.facts, SOON_S)
            assert watches[0].view.untrusted
            assert watches[0].view.facts is None
            assert f"localhost:{port}: its certificate is for another host name" in str(watches[0].error())
            assert not watches[1].view.untrusted
        finally:
            for watch in watches:
                watch.stop()
