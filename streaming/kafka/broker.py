"""What the broker knows of the topic: identity, rights, partitions, watermarks. Through kafka-python's admin client."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NoError,
    NotCoordinatorError,
)
from kafka.protocol.consumer.offsets import IsolationLevel
from kafka.structs import OffsetAndMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from streaming.errors import (
    BrokerUnreachable,
    BrokerUntrusted,
    KafkaUnavailable,
    LoginRefused,
    RightMissing,
    TopicMissing,
)
from streaming.kafka import contact
from streaming.kafka.headroom import Limits
from streaming.kafka.login import sasl_options
from streaming.kafka.tls import encrypted, ssl_context
from streaming.kafka.wire import Address
from streaming.ledger.ledger import Generation
from streaming.settings import KafkaSettings

UNKNOWN_TOPIC, TOPIC_DENIED = 3, 29
REQUEST_TIMEOUT_MS = 5_000

# The first question about any group makes the broker create its offsets topic; until then nobody answers.
_patiently = Retrying(
    retry=retry_if_exception_type((CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)),
    stop=stop_after_delay(5),
    wait=wait_fixed(0.2),
    reraise=True,
)


class TopicFacts(NamedTuple):
    """The topic as the broker describes it now. partitions: sorted numbers."""

    generation: Generation
    partitions: tuple[int, ...]


def client_config(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """kafka-python's options for admin client, consumer and producer alike. Raises LoginRefused: a file is wrong."""
    options = {
        "bootstrap_servers": kafka.bootstrap_servers.split(","),
        "client_id": client_id,
        "security_protocol": kafka.security_protocol,
        "bootstrap_timeout_ms": int(kafka.bootstrap_timeout_s * 1000),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": 1000,  # the default of 30 s comes back 15 s late after a restart
    }
    return options | sasl_options(kafka) | ({"ssl_context": ssl_context(kafka)} if encrypted(kafka) else {})


class Broker:
    """One admin connection. A context manager; belongs to one thread.

    Every call raises KafkaUnavailable with a sentence that names the cause.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._advertised: tuple[Address, ...] = ()
        self._admin: Any = None

    def __enter__(self) -> Self:
        self._advertised = contact.reach(self._kafka, self._client_id)
        with self._asking(f"Kafka at {self._kafka.bootstrap_servers}"):
            self._admin = KafkaAdminClient(**client_config(self._kafka, self._client_id))
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()

    def topic(self) -> TopicFacts:
        """The topic's identity and partitions, once its existence and the right to read it are certain."""
        name = self._kafka.topic
        with self._asking(f"topic {name}"):
            described = self._described(name, "Read", "kafka.topic")
            cluster = self._admin.describe_cluster()["cluster_id"]
        numbers = tuple(sorted(partition["partition_index"] for partition in described["partitions"]))
        return TopicFacts(Generation(cluster, name, str(described["topic_id"])), numbers)

    def addresses(self) -> tuple[Address, ...]:
        """Those that the brokers advertise on this listener."""
        with self._asking("the cluster's brokers"):
            brokers = self._admin.describe_cluster()["brokers"]
        return tuple(Address(broker["host"], broker["port"]) for broker in brokers)

    def log_ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Last stable offset of each partition: where a read_committed consumer stops."""
        return self._offsets(partitions, OffsetSpec.LATEST)

    def high_watermarks(self, partitions: Collection[int]) -> dict[int, int]:
        """The log end of each partition, open transactions included: what was ever readable lies below it."""
        return self._offsets(partitions, OffsetSpec.LATEST, IsolationLevel.READ_UNCOMMITTED)

    def log_starts(self, partitions: Collection[int]) -> dict[int, int]:
        """First offset that retention has left."""
        return self._offsets(partitions, OffsetSpec.EARLIEST)

    def offsets_at(self, partitions: Collection[int], moment: datetime) -> dict[int, int]:
        """First offset at or after `moment`; the log end where nothing is that young."""
        ends = self.log_ends(partitions)  # first: what comes between the two questions lies behind them
        found = self._offsets(partitions, int(moment.timestamp() * 1000))
        return {partition: ends[partition] if at < 0 else at for partition, at in found.items()}

    def retention(self) -> Limits:
        """The topic's retention as it is in force, the broker's defaults included."""
        name = self._kafka.topic
        asked = ConfigResource(ConfigResourceType.TOPIC, name, ["cleanup.policy", "retention.ms", "retention.bytes"])
        with self._asking(f"settings of topic {name}"):
            answer = self._admin.describe_configs([asked], config_filter="all").get("topic", {}).get(name)
        if not answer:
            raise RightMissing(f"no right to see the settings of topic {name}; grant DescribeConfigs to this user")
        values = {key: entry["value"] for key, entry in answer.items()}
        if "delete" not in values["cleanup.policy"]:
            return Limits(None, None)
        time_ms, size_bytes = int(values["retention.ms"]), int(values["retention.bytes"])
        return Limits(time_ms / 1000 if time_ms >= 0 else None, size_bytes if size_bytes >= 0 else None)

    def sizes(self, partitions: Collection[int]) -> dict[int, int]:
        """Bytes of each partition on disk, the largest of its replicas; without the right (Describe on the cluster)
        none are told."""
        name = self._kafka.topic
        with self._asking(f"size of topic {name}"):
            answers = self._admin.describe_log_dirs({name: list(partitions)})
        sizes: dict[int, int] = {}
        for folder in (folder for answer in answers for folder in answer["log_dirs"]):
            for found in (each for topic in folder["topics"] for each in topic["partitions"]):
                partition, size = found["partition_index"], found["partition_size"]
                sizes[partition] = max(size, sizes.get(partition, 0))
        return sizes

    def mirror(self, group_id: str, positions: Mapping[int, int], text: str) -> None:
        """Write positions into the consumer group, where Kafka's own tools show them; text: up to 4,096 bytes."""
        entries = {
            TopicPartition(self._kafka.topic, partition): OffsetAndMetadata(offset, text, -1)
            for partition, offset in positions.items()
        }
        with self._asking(f"consumer group {group_id}"):
            answers = _patiently(self._admin.alter_group_offsets, group_id, entries)
        refused = {error.__name__ for error in answers.values() if error is not NoError}
        if refused:
            raise KafkaUnavailable(f"consumer group {group_id} refuses positions: {', '.join(sorted(refused))}")

    def mirrored(self, group_id: str) -> dict[int, str]:
        """The texts beside the group's positions of this topic; empty when the group is unknown."""
        with self._asking(f"consumer group {group_id}"):
            offsets = _patiently(self._admin.list_group_offsets, {group_id: None}).get(group_id, {})
        return {tp.partition: entry.metadata for tp, entry in offsets.items() if tp.topic == self._kafka.topic}

    def _offsets(
        self, partitions: Collection[int], spec: object, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[int, int]:
        asked = {TopicPartition(self._kafka.topic, partition): spec for partition in partitions}
        with self._asking(f"offsets of topic {self._kafka.topic}"):
            answer = self._admin.list_partition_offsets(asked, isolation_level=isolation, timeout_ms=REQUEST_TIMEOUT_MS)
        return {tp.partition: found.offset for tp, found in answer.items()}

    def _described(self, topic: str, right: str, setting: str) -> dict[str, Any]:
        """What the broker tells of a topic on which this user has the right. Raises TopicMissing, RightMissing."""
        described: dict[str, Any] = self._admin.describe_topics([topic])[0]
        code = described["error_code"]
        if code == UNKNOWN_TOPIC:
            raise TopicMissing(f"topic {topic} does not exist; create it, or correct {setting}")
        if code == TOPIC_DENIED:
            raise RightMissing(f"no right to describe topic {topic}; grant Describe and {right} to this user")
        if code != 0:
            raise KafkaUnavailable(f"topic {topic}: the broker answers error {code}")
        rights = described.get("authorized_operations")
        if rights is not None and right.upper() not in {str(getattr(each, "name", each)).upper() for each in rights}:
            raise RightMissing(f"no right to {right.lower()} topic {topic}; grant {right} to this user")
        return described

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Translated, and a broker that couldn't show who it is is named."""
        try:
            with translated(what):
                yield
        except BrokerUntrusted:
            contact.Names(self._kafka, self._client_id).check(self._advertised)
            raise


def start_offsets(broker: Broker, facts: TopicFacts, start: str) -> dict[int, int]:
    """The origins: `earliest`, `latest` or an ISO time as numbers, resolved once."""
    if start == "earliest":
        return broker.log_starts(facts.partitions)
    if start == "latest":
        return broker.log_ends(facts.partitions)
    return broker.offsets_at(facts.partitions, datetime.fromisoformat(start))


def frozen_ends(kafka: KafkaSettings, client_id: str, until: str) -> dict[int, int]:
    """Where a bounded run stops: `now` or an ISO time, as partition -> first offset not wanted."""
    with Broker(kafka, client_id) as broker:
        facts = broker.topic()
        if until == "now":
            return broker.log_ends(facts.partitions)
        return broker.offsets_at(facts.partitions, datetime.fromisoformat(until))


class _Causes(logging.Handler):
    """kafka-python tells the cause of a failure only to its loggers."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines = [*self.lines[-20:], record.getMessage()]


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn kafka-python's errors into KafkaUnavailable: one sentence naming `what` and the cause."""
    causes, logger = _Causes(), logging.getLogger("kafka")
    logger.addHandler(causes)
    try:
        yield
    except KafkaUnavailable:
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        known = _cause([*causes.lines, _own_words(error)])
        if known is None:
            raise KafkaUnavailable(f"{what}: {_own_words(error)}") from error
        raise known.kind(f"{what}: {known.words}") from error
    finally:
        logger.removeHandler(causes)


class _Known(NamedTuple):
    """What a line of kafka-python's means, and of which kind that is."""

    pattern: str
    words: str
    kind: type[KafkaUnavailable]


_KNOWN = (
    _Known(r"DNS|getaddrinfo|Name or service not known|gaierror", "the host name can't be resolved", BrokerUnreachable),
    _Known(
        r"hostname mismatch|doesn't match|not valid for",
        "a broker's certificate is for another host name than it advertises",
        BrokerUntrusted,
    ),
    _Known(
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "a broker's certificate is not signed by kafka.ssl_cafile",
        BrokerUntrusted,
    ),
    _Known(r"SaslAuthenticationFailed|Authentication failed|invalid credentials", "the login is refused", LoginRefused),
    _Known(
        r"ECONNREFUSED|Connection refused",
        "connection refused: nothing listens there, or where a broker says that it does",
        BrokerUnreachable,
    ),
    _Known(
        r"Failed to update metadata",
        "no metadata; does the topic exist, with the right to write to it?",
        KafkaUnavailable,
    ),
    _Known(r"AuthorizationFailed", "a right is missing", RightMissing),
)


def _cause(lines: list[str]) -> _Known | None:
    text = "\n".join(lines)
    return next((known for known in _KNOWN if re.search(known.pattern, text, re.IGNORECASE)), None)


def _own_words(error: Exception) -> str:
    text, name = str(error), type(error).__name__
    return text if name in text else f"{name}: {text}".strip(": ")
