"""A real broker behind TLS, logins and rights: one listener for each way of getting it wrong."""

import base64
import json
import os
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from streaming.demo.node import ONE_COPY, KafkaNode, new_cluster_id
from streaming.demo.ports import free_port
from tests.certificates import Authority, Pair

USER, PASSWORD = "trainer", "c0rrect-horse"
ODD_USER, ODD_PASSWORD = "a=b,c", "p=q, r"
ROBOT = "robot"  # comes with a token
STRANGER = "stranger"  # may log in, and nothing else
EQUALS, EQUALS_PASSWORD = "equals", "a=b c=="  # by PLAIN
TOPIC, SECRET_TOPIC, LETTERS = "pets", "secrets", "letters"
GROUPS = "penstock."  # a prefix, as TOPIC is one
HOST = "localhost"
_SECURITY = "org.apache.kafka.common.security"


class Listener(NamedTuple):
    """name: Kafka's name of it; protocol: SSL or SASL_SSL. hosts: what its certificate is for; advertised: its name."""

    name: str
    protocol: str
    hosts: tuple[str, ...]
    advertised: str = HOST


LISTENERS = (
    Listener("LOGIN", "SASL_SSL", (HOST,)),
    Listener("MUTUAL", "SSL", (HOST,)),
    Listener("ELSEWHERE", "SASL_SSL", ("other.example",)),
    Listener("MISLEADING", "SASL_SSL", (HOST,), advertised="127.0.0.1"),
)


class SecureKafka:
    """One node with TLS listeners beside the plain one, on which whoever asks is the administrator.

    All users but STRANGER may read topics and use groups that begin with TOPIC and GROUPS, and write LETTERS. MUTUAL
    takes certificates of `clients`, whose common name is the user; a token is taken that `token` has signed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.node = KafkaNode(directory / "node")
        self.authority = Authority(directory / "tls")
        self.clients = Authority(directory / "clients")
        self._key = rsa.generate_private_key(65537, 2048)
        self._ports = {listener.name: free_port() for listener in LISTENERS}

    def start(self) -> None:
        port, controller = free_port(), free_port()
        jwks = self.directory / "jwks.json"
        self.node.configure(1, port, controller, self._settings(port, controller, jwks))
        jwks.write_text(json.dumps({"keys": [self._public_key()]}))
        self.node.format(new_cluster_id(), "--standalone")
        with environment(JDK_JAVA_OPTIONS=f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks.as_uri()}"):
            self.node.launch()
        self.node.wait()
        with self.administrator() as admin:
            topics = {name: {"num_partitions": 1, "replication_factor": 1} for name in (TOPIC, SECRET_TOPIC, LETTERS)}
            admin.create_topics(topics, wait_for_metadata=True)
            for user in (USER, ODD_USER, ROBOT, EQUALS):
                admin.create_acls(rights_of(user))
            mechanisms = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512
            users = {USER: PASSWORD, ODD_USER: ODD_PASSWORD, STRANGER: PASSWORD}
            for mechanism in mechanisms:  # both for one user in one request would be refused
                new = [UserScramCredentialUpsertion(user, mechanism, users[user], iterations=4096) for user in users]
                refusals = admin.alter_user_scram_credentials(new)
                assert set(refusals.values()) == {None}, refusals

    @property
    def bootstrap_servers(self) -> str:
        """Of the plain listener."""
        return self.node.bootstrap_servers

    def server(self, listener: str) -> str:
        return f"{HOST}:{self._ports[listener]}"

    def login(self, listener: str = "LOGIN", **changes: object) -> dict[str, Any]:
        """Settings below `kafka` that are right, but for the changes."""
        right = {
            "bootstrap_servers": self.server(listener),
            "topic": TOPIC,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": USER,
            "sasl_password": PASSWORD,
            "ssl_cafile": str(self.authority.cafile),
        }
        return {name: value for name, value in (right | changes).items() if value is not None}

    def mutual(self, pair: Pair, **changes: object) -> dict[str, Any]:
        """The same with a client certificate instead of a password."""
        certificate = {"ssl_certfile": str(pair.certfile), "ssl_keyfile": str(pair.keyfile)}
        without = {"security_protocol": "SSL", "sasl_mechanism": None, "sasl_username": None, "sasl_password": None}
        return self.login("MUTUAL", **without | certificate | changes)

    def token(self, subject: str = ROBOT, seconds: float = 3600, **claims: object) -> str:
        """A JSON web token as an identity provider signs it."""
        head = {"alg": "RS256", "typ": "JWT", "kid": "tests"}
        now = time.time()
        body = {"sub": subject, "iss": "tests", "iat": int(now - 7200), "exp": int(now + seconds), **claims}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (head, body))
        signature = self._key.sign(signed, padding.PKCS1v15(), SHA256())
        return (signed + b"." + _base64(signature)).decode()

    def create(self, topic: str) -> str:
        """A topic of one partition whose name begins with TOPIC; its name."""
        with self.administrator() as admin:
            options = {"num_partitions": 1, "replication_factor": 1}
            admin.create_topics({f"{TOPIC}-{topic}": options}, wait_for_metadata=True)
        return f"{TOPIC}-{topic}"

    def allow(self, user: str, right: ACLOperation, resource: ResourcePattern) -> None:
        with self.administrator() as admin:
            admin.create_acls([ACL(f"User:{user}", "*", right, ACLPermissionType.ALLOW, resource)])

    def administrator(self) -> Any:
        return closing_admin(self.bootstrap_servers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.stop()

    def _settings(self, port: int, controller: int, jwks: Path) -> Mapping[str, str]:
        places = {name: f"{name}://127.0.0.1:{own}" for name, own in self._ports.items()}
        advertised = [f"{one.name}://{one.advertised}:{self._ports[one.name]}" for one in LISTENERS]
        protocols = [
            "CONTROLLER:PLAINTEXT",
            "PLAINTEXT:PLAINTEXT",
            *(f"{one.name}:{one.protocol}" for one in LISTENERS),
        ]
        settings = {
            **ONE_COPY,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": ",".join(
                [f"PLAINTEXT://127.0.0.1:{port}", f"CONTROLLER://127.0.0.1:{controller}", *places.values()]
            ),
            "advertised.listeners": ",".join([f"PLAINTEXT://127.0.0.1:{port}", *advertised]),
            "listener.security.protocol.map": ",".join(protocols),
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+),.*$/$1/,DEFAULT",
            "sasl.oauthbearer.jwks.endpoint.url": jwks.as_uri(),
            # Kafka 4.1.0's default checks tokens as a client does: with it one that anybody had signed was taken.
            "sasl.oauthbearer.jwt.validator.class": f"{_SECURITY}.oauthbearer.BrokerJwtValidator",
            "connection.failed.authentication.delay.ms": "100",
        }
        for one in LISTENERS:
            own = f"listener.name.{one.name.lower()}"
            pair = self.authority.issue(one.name.lower(), *one.hosts)
            together = self.directory / "tls" / f"{one.name.lower()}.pem"
            together.write_bytes(pair.keyfile.read_bytes() + pair.certfile.read_bytes())
            settings |= {f"{own}.ssl.keystore.type": "PEM", f"{own}.ssl.keystore.location": str(together)}
            if one.protocol == "SASL_SSL":
                settings |= _logins(own)
            else:
                settings |= {
                    f"{own}.ssl.client.auth": "required",
                    f"{own}.ssl.truststore.type": "PEM",
                    f"{own}.ssl.truststore.location": str(self.clients.cafile),
                }
        return settings

    def _public_key(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        n, e = (_base64(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (numbers.n, numbers.e))
        return {"kty": "RSA", "kid": "tests", "alg": "RS256", "use": "sig", "n": n.decode(), "e": e.decode()}


def _logins(own: str) -> dict[str, str]:
    passwords = {USER: PASSWORD, STRANGER: PASSWORD, EQUALS: EQUALS_PASSWORD}
    known = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    return {
        f"{own}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        f"{own}.plain.sasl.jaas.config": f"{_SECURITY}.plain.PlainLoginModule required {known};",
        f"{own}.scram-sha-256.sasl.jaas.config": f"{_SECURITY}.scram.ScramLoginModule required;",
        f"{own}.scram-sha-512.sasl.jaas.config": f"{_SECURITY}.scram.ScramLoginModule required;",
        f"{own}.oauthbearer.sasl.jaas.config": f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule required;",
        f"{own}.oauthbearer.sasl.server.callback.handler.class": (
            f"{_SECURITY}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ),
    }


def rights_of(user: str) -> list[ACL]:
    """As README's Operations asks for them."""
    topic = ResourcePattern(ResourceType.TOPIC, TOPIC, ACLResourcePatternType.PREFIXED)
    letters = ResourcePattern(ResourceType.TOPIC, LETTERS)
    groups = ResourcePattern(ResourceType.GROUP, GROUPS, ACLResourcePatternType.PREFIXED)
    wanted = [
        (topic, ACLOperation.DESCRIBE),
        (topic, ACLOperation.READ),
        (topic, ACLOperation.DESCRIBE_CONFIGS),
        (letters, ACLOperation.DESCRIBE),
        (letters, ACLOperation.WRITE),
        (groups, ACLOperation.DESCRIBE),
        (groups, ACLOperation.READ),
    ]
    return [ACL(f"User:{user}", "*", right, ACLPermissionType.ALLOW, pattern) for pattern, right in wanted]


@contextmanager
def closing_admin(servers: str) -> Any:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        yield admin
    finally:
        admin.close()


@contextmanager
def environment(**variables: str) -> Any:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
