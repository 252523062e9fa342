"""What Kafka has to say: reachable, its version, rights, the topic, what retention will do, sizes, codecs, letters."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streaming.doctor.finding import Finding, failed, ok, skipped, warning
from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import TopicFacts, start_offsets
from streaming.kafka.contact import check_group
from streaming.kafka.inspection import Inspection, codecs
from streaming.kafka.readers import chosen
from streaming.kafka.retention import RetentionWatch
from streaming.ledger.ledger import Ledger
from streaming.settings import Settings

CLIENT = "penstock-doctor"
CHECKS = ("topic", "records", "group", "retention", "message size", "codec", "dead letters")
TOPIC_IDS = (2, 8)
SLACK_BYTES = 1 << 20  # what a batch holds beside a value
NEAR = 0.2  # of the retention is left; the service warns from there on, too
SETTINGS = ("max.message.bytes", "compression.type")


class Log(NamedTuple):
    """What the topic holds. starts, ends: partition -> offset, [start, end) can be read; hidden: offsets behind open
    transactions."""

    facts: TopicFacts
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    hidden: int

    @property
    def records(self) -> int:
        """At most."""
        return sum(end - self.starts[partition] for partition, end in self.ends.items())


class Examined:
    """log: what was found of the topic, for the checks that come after; None while nothing was."""

    def __init__(self) -> None:
        self.log: Log | None = None


def check_kafka(settings: Settings, ledger: Ledger | None, examined: Examined) -> Iterator[Finding]:
    """ledger: of the newest checkpoint."""
    kafka = settings.kafka
    try:
        with Inspection(kafka, CLIENT) as broker:
            yield _broker(broker, kafka.bootstrap_servers)
            yield from _topic(settings, broker, examined)
            if examined.log is None:
                yield from (skipped(name, "the topic can't be read") for name in CHECKS[1:])
                return
            yield _records(examined.log)
            yield _group(settings, broker)
            yield _retention(settings, broker, examined.log, ledger)
            yield _message_size(settings, broker)
            yield _codec(settings, broker, examined.log)
            yield _dead_letters(settings, broker)
    except KafkaUnavailable as error:
        yield failed("broker", str(error), "see kafka.bootstrap_servers, kafka.security_protocol and the broker's log")
        yield from (skipped(name, "the broker isn't reached") for name in CHECKS)


def _broker(broker: Inspection, servers: str) -> Finding:
    version = broker.version()
    text = f"{servers} answers, Kafka {'.'.join(map(str, version))}"
    if version < TOPIC_IDS:
        remedy = "without topic ids (Kafka 2.8) a topic that is deleted and created again isn't noticed: upgrade"
        return warning("broker", text, remedy)
    return ok("broker", text)


def _topic(settings: Settings, broker: Inspection, examined: Examined) -> Iterator[Finding]:
    try:
        facts = broker.topic()
        starts, ends = broker.log_starts(facts.partitions), broker.log_ends(facts.partitions)
        hidden = sum(broker.high_watermarks(facts.partitions).values()) - sum(ends.values())
    except KafkaUnavailable as error:
        yield _refused("topic", error, "see the broker's log")
        return
    examined.log = Log(facts, starts, ends, hidden)
    yield ok("topic", f"{settings.kafka.topic}: {len(facts.partitions)} partitions, may be described and read")


def _records(log: Log) -> Finding:
    behind = f", {log.hidden} more behind open transactions" if log.hidden else ""
    text = f"{log.records} offsets can be read{behind}"
    if not log.records:
        return warning("records", text, "nothing to train yet: `penstock produce` sends drawn pets")
    return ok("records", text)


def _group(settings: Settings, broker: Inspection) -> Finding:
    name = settings.group_id
    try:
        check_group(settings.kafka, CLIENT, name)
        known = broker.mirrored(name)
    except KafkaUnavailable as error:
        return _refused("group", error, f"grant Describe and Read on consumer group {name} to this user")
    foreign = {text.split(":")[1] for text in known.values() if text.startswith("penstock:")} - {settings.name}
    if foreign:
        text = f"{name} carries the positions of another training, {', '.join(sorted(foreign))}"
        return warning("group", text, "give kafka.group_id another name, or leave it unset")
    return ok("group", f"{name} may be described and written; {'it has positions' if known else 'it has none yet'}")


def _retention(settings: Settings, broker: Inspection, log: Log, ledger: Ledger | None) -> Finding:
    if ledger is not None and ledger.generation.topic_id != log.facts.generation.topic_id:
        text = "the newest checkpoint is about another topic than this one, which was created later or elsewhere"
        return failed("retention", text, "the runbook's topic-recreated and topic-changed say what to do")
    if ledger is None:
        positions = start_offsets(broker, log.facts, settings.kafka.start)
    else:
        positions = {each: ledger.position(each) for each in ledger.partitions() if each in log.ends}
    try:
        found = RetentionWatch(settings.kafka, CLIENT).look_once(broker, positions)
    except KafkaUnavailable as error:
        sentence, _, remedy = str(error).partition("; ")
        return warning("retention", sentence, remedy or "see the broker's log")
    if positions.keys() - found.keys():
        return warning("retention", "it isn't known what retention will do", "grant DescribeConfigs on the topic")
    if not found:
        return ok("retention", "nothing is owed")
    partition, nearest = min(found.items(), key=lambda item: (item[1].seconds, item[1].left))
    where = f"of partition {partition} from offset {positions[partition]} on"
    if nearest.left <= 0:
        return failed("retention", f"records {where} are gone, or about to go", "raise the topic's retention first")
    if math.isinf(nearest.seconds) and nearest.left > NEAR:
        return ok("retention", "removes nothing that isn't trained")
    text = f"leaves what isn't trained {where} alone for {_duration(nearest.seconds)} at least"
    if nearest.left < NEAR:
        return warning("retention", text, "raise the topic's retention, or train faster")
    return ok("retention", text)


def _message_size(settings: Settings, broker: Inspection) -> Finding:
    kafka, most = settings.kafka, settings.records.max_bytes
    allowed = broker.config(kafka.topic, SETTINGS).get("max.message.bytes")
    if allowed is None:
        return warning("message size", "the topic's max.message.bytes isn't told", "grant DescribeConfigs on the topic")
    text = f"the topic takes batches up to {_mb(int(allowed))}, penstock records up to {_mb(most)}"
    if int(allowed) > most + SLACK_BYTES:
        return warning("message size", text, "larger ones become dead letters (too_large): see records.max_bytes")
    letters = kafka.dead_letter_topic
    theirs = broker.config(letters, SETTINGS).get("max.message.bytes") if letters else None
    if theirs is not None and int(theirs) < int(allowed):
        text = f"{letters} takes batches up to {_mb(int(theirs))}, the topic up to {_mb(int(allowed))}"
        return warning("message size", text, f"the largest letters go without their value: raise it for {letters}")
    return ok("message size", text)


def _codec(settings: Settings, broker: Inspection, log: Log) -> Finding:
    configured = broker.config(settings.kafka.topic, SETTINGS).get("compression.type", "producer")
    logs = {partition: (log.starts[partition], end) for partition, end in log.ends.items()}
    try:
        seen = codecs(settings.kafka, CLIENT, logs)
    except KafkaUnavailable as error:
        return failed("codec", str(error), "see the broker's log")
    if configured not in ("producer", "uncompressed"):
        seen.add(configured)
    reader, _ = chosen(settings.kafka)
    text = f"{', '.join(sorted(seen)) or 'no batch seen'}; read by {reader}"
    if "gzip" in seen and reader == "tensorflow-io":
        return warning(
            "codec",
            text,
            "its old client has a known memory error with gzip: set kafka.reader = confluent, or produce zstd or lz4",
        )
    return ok("codec", text)


def _dead_letters(settings: Settings, broker: Inspection) -> Finding:
    letters = settings.kafka.dead_letter_topic
    if letters is None:
        return ok("dead letters", "no topic: bad records are counted and logged only")
    try:
        broker.check_writable(letters)
    except KafkaUnavailable as error:
        return _refused("dead letters", error, "create it, grant Describe and Write, or unset dead_letter_topic")
    return ok("dead letters", f"{letters} may be written to")


def _refused(check: str, error: KafkaUnavailable, remedy: str) -> Finding:
    """Many of these errors bring their remedy along."""
    sentence, _, own = str(error).partition("; ")
    return failed(check, sentence, own or remedy)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.4g} MiB"


def _duration(seconds: float) -> str:
    for length_s, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {name}"
    return f"{seconds:.0f} s"
