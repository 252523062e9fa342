"""One connection to one broker, by hand: each way in which it fails is an error of its own, told within seconds.

kafka-python's clients try again until their time is over and then can't say why; librdkafka never says.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka.errors import KafkaError
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from streaming.errors import BrokerUnreachable, BrokerUntrusted, KafkaUnavailable, LoginRefused
from streaming.kafka.login import sasl_options
from streaming.kafka.tls import encrypted, ssl_context
from streaming.settings import KafkaSettings

UNSUPPORTED_MECHANISM, ILLEGAL_STATE = 33, 34
OTHER_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
NOT_NOW = {9: "isn't valid yet", 10: "has expired"}
TLS_ALERT = b"\x15\x03"


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(servers: str) -> tuple[Address, ...]:
    """Of `kafka.bootstrap_servers`."""
    pairs = (server.rpartition(":") for server in servers.split(","))
    return tuple(Address(host.strip("[]"), int(port)) for host, _, port in pairs)


class Wire:
    """Connected, encrypted where the settings say so; `log_in` and `ask` come after. A context manager of one thread.

    timeout_s: of each wait. Everything raises KafkaUnavailable, by kind, in one sentence that names the broker.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str, address: Address, timeout_s: float) -> None:
        self._kafka = kafka
        self._address = address
        self._timeout_s = timeout_s
        self._protocol = KafkaProtocol(client_id=client_id)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        with self._told():
            self._socket = socket.create_connection(self._address, self._timeout_s)
        if encrypted(self._kafka):
            try:
                with self._told():
                    name = self._address.host.rstrip(".")
                    self._socket = ssl_context(self._kafka).wrap_socket(self._socket, server_hostname=name)
            except KafkaUnavailable:
                self.close()
                raise

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def log_in(self) -> None:
        """Nothing to do without SASL."""
        options = sasl_options(self._kafka)
        if not options:
            return
        answer = self.ask(SaslHandshakeRequest(version=1, mechanism=self._kafka.sasl_mechanism))
        if answer.error_code == UNSUPPORTED_MECHANISM:
            taken = ", ".join(sorted(answer.mechanisms))
            raise self._error(LoginRefused, f"SASL mechanism {self._kafka.sasl_mechanism} isn't taken, but {taken}")
        if answer.error_code == ILLEGAL_STATE:
            raise self._error(LoginRefused, "the port takes no SASL login; see kafka.security_protocol")
        mechanism = get_sasl_mechanism(self._kafka.sasl_mechanism)(host=self._address.host, **options)
        while not mechanism.is_done():
            answer = self.ask(SaslAuthenticateRequest(mechanism.auth_bytes(), version=0))
            if answer.error_code:
                raise self._error(LoginRefused, self._refused_login)
            try:
                mechanism.receive(answer.auth_bytes)
            except ValueError as error:  # the broker doesn't know the password itself
                raise self._error(BrokerUntrusted, f"it can't prove that it knows the password: {error}") from error

    def ask(self, request: Any) -> Any:
        """kafka-python's answer to its request, which has a version."""
        assert self._socket is not None
        with self._told():
            self._protocol.send_request(request)
            self._socket.sendall(self._protocol.send_bytes())
            while True:
                data = self._socket.recv(1 << 16)
                if not data:
                    raise ConnectionResetError
                if data.startswith(TLS_ALERT) and not encrypted(self._kafka):
                    raise self._error(BrokerUnreachable, "the port speaks TLS; see kafka.security_protocol")
                for _, answer in self._protocol.receive_bytes(data):
                    return answer

    @property
    def _refused_login(self) -> str:
        if self._kafka.sasl_mechanism == "OAUTHBEARER":
            return (
                f"the token of {self._kafka.sasl_oauthbearer_token_file} is refused: expired, or not for this cluster"
            )
        return f"wrong user name or password (user {self._kafka.sasl_username}, SASL {self._kafka.sasl_mechanism})"

    def _error(self, kind: type[KafkaUnavailable], text: str) -> KafkaUnavailable:
        return kind(f"Kafka at {self._address}: {text}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise self._error(BrokerUntrusted, self._untrusted(error)) from error
        except ssl.SSLError as error:
            raise self._tls_error(error) from error
        except socket.gaierror as error:
            raise self._error(BrokerUnreachable, "the host name can't be resolved") from error
        except ConnectionRefusedError as error:
            raise self._error(BrokerUnreachable, "connection refused; nothing listens there") from error
        except TimeoutError as error:
            raise self._error(BrokerUnreachable, f"no answer within {self._timeout_s:g} s") from error
        except ConnectionError as error:
            text = "it closed the connection; see kafka.security_protocol"
            raise self._error(BrokerUnreachable, text) from error
        except (OSError, KafkaError) as error:
            raise self._error(BrokerUnreachable, str(error)) from error

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> str:
        if error.verify_code in OTHER_NAME:
            return f"its certificate is for another host name, not for {self._address.host}"
        if error.verify_code in NOT_NOW:
            return f"its certificate {NOT_NOW[error.verify_code]}"
        cas = f"kafka.ssl_cafile = {self._kafka.ssl_cafile}" if self._kafka.ssl_cafile else "a CA of this system"
        return f"its certificate is not signed by {cas} ({error.verify_message})"

    def _tls_error(self, error: ssl.SSLError) -> KafkaUnavailable:
        reason = error.reason or str(error)
        if "ALERT" in reason and self._kafka.ssl_certfile is None:
            return self._error(LoginRefused, f"it wants a client certificate; set kafka.ssl_certfile ({reason})")
        if "ALERT" in reason:
            return self._error(LoginRefused, f"it refuses the certificate in {self._kafka.ssl_certfile} ({reason})")
        if "EOF" in reason:
            return self._error(BrokerUnreachable, "it closed the connection within the TLS handshake")
        return self._error(BrokerUnreachable, f"the port doesn't speak TLS; see kafka.security_protocol ({reason})")
