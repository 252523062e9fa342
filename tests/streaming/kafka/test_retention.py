"""What a real broker says of retention, and of tails that might be lost instead of absent."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource

from streaming.demo.ports import free_port
from streaming.kafka.broker import Broker
from streaming.kafka.headroom import OVERTAKEN, UNLIMITED, Headroom, Limits
from streaming.kafka.mirror import Mirror, Positions
from streaming.kafka.retention import RetentionWatch
from streaming.kafka.tails import Tail, TailProofs
from streaming.settings import KafkaSettings
from tests.conftest import Broker as AnyBroker
from tests.conftest import TopicFactory
from tests.line.line import nap, produce
from tests.streaming.kafka.test_broker_and_watch import until

pytestmark = pytest.mark.kafka

DAY_MS = 24 * 3600 * 1000


def settings(servers: str, topic: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=servers, topic=topic, bootstrap_timeout_s=2)


def produce_at(servers: str, topic: str, *ages_s: float, size: int = 10) -> None:
    """A record each, with a timestamp of that age."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    for age_s in ages_s:
        moment_ms = int((time.time() - age_s) * 1000)
        producer.send(topic, b"x" * size, partition=0, timestamp_ms=moment_ms).get(timeout=30)
    producer.close()


def remove_before(servers: str, topic: str, offset: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.delete_records({TopicPartition(topic, 0): offset})
    admin.close()


@contextmanager
def watching(servers: str, topic: str, positions: Mapping[int, int]) -> Iterator[RetentionWatch]:
    watch = RetentionWatch(settings(servers, topic), "tests", interval_s=0.2, limits_interval_s=0.5)
    watch.look_at(positions)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def first_headroom(watch: RetentionWatch, deadline_s: float = 20) -> Headroom:
    deadline = time.monotonic() + deadline_s
    while not watch.headrooms():
        assert time.monotonic() < deadline, "nothing is known of partition 0"
        nap()
    return watch.headrooms()[0]


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ({"retention.ms": str(DAY_MS)}, Limits(86_400.0, None)),
        ({"retention.ms": "-1"}, Limits(None, None)),
        ({"retention.ms": "-1", "retention.bytes": "5000"}, Limits(None, 5000)),
        ({"cleanup.policy": "compact", "retention.ms": "1000"}, Limits(None, None)),
        ({"cleanup.policy": "compact,delete", "retention.ms": "1000"}, Limits(1.0, None)),
    ],
)
def test_limits_are_those_in_force(
    kafka: AnyBroker, topic: TopicFactory, config: dict[str, str], limits: Limits
) -> None:
    with Broker(settings(kafka.bootstrap_servers, topic(1, config)), "tests") as broker:
        assert broker.retention() == limits


def test_headroom_counts_from_the_timestamp_of_the_record_at_the_position(
    kafka: AnyBroker, topic: TopicFactory
) -> None:
    name = topic(1, {"retention.ms": str(DAY_MS)})
    produce_at(kafka.bootstrap_servers, name, 20 * 3600, 2 * 3600, 0)
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        seconds, left = first_headroom(watch)
        assert seconds == pytest.approx(4 * 3600, abs=60)
        assert left == pytest.approx(4 / 24, abs=0.01)

        watch.look_at({0: 1})
        until(lambda: watch.headrooms()[0].seconds > 5 * 3600)
        assert watch.headrooms()[0].seconds == pytest.approx(22 * 3600, abs=60)

        watch.look_at({0: 3})
        until(lambda: watch.headrooms()[0] == UNLIMITED)
        produce_at(kafka.bootstrap_servers, name, 6 * 3600)
        until(lambda: watch.headrooms()[0] != UNLIMITED)
        assert watch.headrooms()[0].seconds == pytest.approx(18 * 3600, abs=60)

        watch.look_at({0: 1})
        remove_before(kafka.bootstrap_servers, name, 2)
        until(lambda: watch.headrooms()[0] == OVERTAKEN)


def test_log_append_time_is_the_brokers(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1, {"retention.ms": str(DAY_MS), "message.timestamp.type": "LogAppendTime"})
    produce_at(kafka.bootstrap_servers, name, 20 * 3600)
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        assert first_headroom(watch).seconds == pytest.approx(24 * 3600, abs=60)


def test_an_aborted_transaction_alone_behind_the_position_has_an_age_too(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1, {"retention.ms": str(DAY_MS)})
    produce(kafka.bootstrap_servers, name, [b"x"] * 3, transaction=False)
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        assert first_headroom(watch).seconds == pytest.approx(24 * 3600, abs=60)
        watch.look_at({0: 3})  # the marker alone
        until(lambda: watch.headrooms()[0].left == 1.0)


def test_retention_by_size_is_estimated_from_size_and_growth(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1, {"retention.ms": "-1", "retention.bytes": "100000"})
    produce_at(kafka.bootstrap_servers, name, *[1000.0] * 40, size=1000)
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        seconds, left = first_headroom(watch)
        assert left == pytest.approx(0.57, abs=0.03)  # 40 records of 1,000 bytes and their envelopes
        assert seconds == pytest.approx(1000 * left / (1 - left), rel=0.05)
        watch.look_at({0: 20})
        until(lambda: watch.headrooms()[0].left > 0.7)
        assert watch.headrooms()[0].left == pytest.approx((1 + left) / 2, abs=0.03)


def test_without_limits_or_without_kafka_nothing_alarms(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1, {"retention.ms": "-1"})
    produce_at(kafka.bootstrap_servers, name, 1000)
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        assert first_headroom(watch) == Headroom(math.inf, 1.0)
    with watching(f"127.0.0.1:{free_port()}", name, {0: 0}) as watch:
        nap(3)
        assert watch.headrooms() == {}


def test_a_retention_that_is_changed_counts_from_then_on(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1, {"retention.ms": str(DAY_MS)})
    produce_at(kafka.bootstrap_servers, name, 23 * 3600)
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        assert first_headroom(watch).left < 0.2
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.alter_configs([ConfigResource("TOPIC", name, {"retention.ms": str(10 * DAY_MS)})])
        admin.close()
        until(lambda: watch.headrooms()[0].left > 0.8)


def test_what_is_believed_of_a_missing_tail(kafka: AnyBroker, topic: TopicFactory) -> None:
    """Records are found, aborted ones are absent, what retention removed is neither."""
    name = topic(1)
    servers = kafka.bootstrap_servers
    produce(servers, name, [b"x"] * 10)
    produce(servers, name, [b"x"] * 9, transaction=False)  # 10 to 18 aborted, 19 the marker
    produce(servers, name, [b"x"] * 10)
    proofs = TailProofs(settings(servers, name), "tests")
    for tail in (Tail(0, 4, 10), Tail(0, 10, 20), Tail(0, 8, 20), Tail(0, 12, 25)):
        proofs.ask(tail)
    assert answered(proofs) == [4, None, 8, 20]

    remove_before(servers, name, 15)
    for tail in (Tail(0, 4, 10), Tail(0, 4, 17), Tail(0, 15, 20), Tail(0, 14, 20)):
        proofs.ask(tail)
    assert answered(proofs) == [15, 15, None, 15]
    proofs.close()


def test_nothing_is_believed_of_a_tail_beyond_the_log_end(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1)
    servers = kafka.bootstrap_servers
    produce(servers, name, [b"x"] * 10)
    proofs = TailProofs(settings(servers, name), "tests", deadline_s=1)
    for tail in (Tail(0, 8, 14), Tail(0, 10, 14), Tail(0, 12, 14)):
        proofs.ask(tail)
    assert answered(proofs) == [8, 10, 12]  # all of it is to be planned again

    produce(servers, name, [b"x"] * 3, transaction=False)  # 10 to 12, and a marker: now it can be known
    for tail in (Tail(0, 10, 14), Tail(0, 12, 14)):
        proofs.ask(tail)
    assert answered(proofs) == [None, None]
    proofs.close()


def test_a_mirror_that_failed_is_tried_again_and_repeated_daily(kafka: AnyBroker, topic: TopicFactory) -> None:
    now = [0.0]
    name, group = topic(1), f"group-{time.monotonic_ns()}"
    mirror = Mirror(group, lambda: now[0])
    with Broker(settings(kafka.bootstrap_servers, name), "tests") as broker:
        topic_id = broker.topic().generation.topic_id
        mirror.put(Positions({0: 1, 9: 1}, "first", topic_id))  # there is no partition 9
        mirror.work(broker, topic_id)
        assert mirror.error is not None

        mirror.put(Positions({0: 1}, "second", topic_id))
        mirror.work(broker, topic_id)
        assert mirror.error is not None  # too soon
        now[0] += 5
        mirror.work(broker, topic_id)
        assert mirror.error is None
        assert broker.mirrored(group) == {0: "second"}

        broker.mirror(group, {0: 7}, "somebody else")
        now[0] += 23 * 3600
        mirror.work(broker, topic_id)
        assert broker.mirrored(group) == {0: "somebody else"}
        now[0] += 3600
        mirror.work(broker, topic_id)
        assert broker.mirrored(group) == {0: "second"}

        mirror.put(Positions({0: 3}, "of an earlier life of the topic", "another-id"))
        mirror.work(broker, topic_id)
        assert broker.mirrored(group) == {0: "second"}


def answered(proofs: TailProofs) -> list[int | None]:
    """All that is asked."""
    while proofs.answer_next():
        pass
    return [found for _, found in proofs.answers()]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_died_is_told_and_its_answers_are_gone(topic: TopicFactory, kafka: AnyBroker) -> None:
    name = topic(1, {"retention.ms": str(DAY_MS)})
    with watching(kafka.bootstrap_servers, name, {0: 0}) as watch:
        first_headroom(watch)
        assert watch.failure() is None
        watch.look_at({0: None})  # type: ignore[dict-item]  # a bug, as any would be
        until(lambda: watch.failure() is not None)
        assert watch.headrooms() == {}
