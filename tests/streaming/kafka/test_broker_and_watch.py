"""What the broker is asked, on a real one: identity, watermarks, proofs of absence, the consumer group, failures."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from streaming.demo.ports import free_port
from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import Broker, frozen_ends, start_offsets
from streaming.kafka.tails import Tail
from streaming.kafka.watch import Watch
from streaming.settings import KafkaSettings
from tests.conftest import Broker as AnyBroker
from tests.conftest import TopicFactory
from tests.line.line import produce
from tests.line.topics import recreate

pytestmark = pytest.mark.kafka


def settings(servers: str, topic: str, **more: object) -> KafkaSettings:
    return KafkaSettings.model_validate({"bootstrap_servers": servers, "topic": topic, **more})


def until(holds: Callable[[], object], deadline_s: float = 20) -> None:
    """Wait for a condition of another thread."""
    deadline, tick = time.monotonic() + deadline_s, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "never came true"
        tick.wait(0.02)


def test_log_ends_are_last_stable_offsets(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(2)
    produce(kafka.bootstrap_servers, name, [b"x"] * 6, 2)
    produce(kafka.bootstrap_servers, name, [b"x"] * 4, 2, transaction=False)
    with Broker(settings(kafka.bootstrap_servers, name), "tests") as broker:
        facts = broker.topic()
        assert facts.partitions == (0, 1)
        ends = {0: 6, 1: 6}  # 3 records, 2 aborted ones, a marker, which the coordinator writes after its answer
        until(lambda: broker.log_ends(facts.partitions) == ends)
        assert broker.log_starts(facts.partitions) == {0: 0, 1: 0}


def test_origins_are_numbers_whatever_the_start(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"x"] * 5)
    between = datetime.now(UTC)
    produce(kafka.bootstrap_servers, name, [b"x"] * 5)
    kafka_settings = settings(kafka.bootstrap_servers, name)
    with Broker(kafka_settings, "tests") as broker:
        facts = broker.topic()
        assert start_offsets(broker, facts, "earliest") == {0: 0}
        assert start_offsets(broker, facts, "latest") == {0: 10}
        assert start_offsets(broker, facts, between.isoformat()) == {0: 5}
        assert start_offsets(broker, facts, "2100-01-01T00:00:00Z") == {0: 10}
    assert frozen_ends(kafka_settings, "tests", "now") == {0: 10}


def test_another_life_of_the_topic_has_origins_of_its_own(kafka: AnyBroker, topic: TopicFactory) -> None:
    """A worker takes minutes to import and compile between the first look at the topic and the first read."""
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"x"] * 10)
    watch = Watch(settings(kafka.bootstrap_servers, name), "tests", interval_s=0.05, start="latest")
    watch.start()
    try:
        until(lambda: watch.view.origins == {0: 10})
        first = watch.view.facts
        recreate(kafka.bootstrap_servers, name, 2)
        until(lambda: watch.view.error is None and watch.view.facts is not None and watch.view.facts != first)
        assert watch.view.origins == {0: 0, 1: 0}
    finally:
        watch.stop()


def test_mirrored_positions_can_be_read_back(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(2)
    with Broker(settings(kafka.bootstrap_servers, name), "tests") as broker:
        assert broker.mirrored("nobody") == {}
        broker.mirror("penstock.tests", {0: 3, 1: 7}, "penstock:tests:e000001-s000000001")
        assert broker.mirrored("penstock.tests") == dict.fromkeys((0, 1), "penstock:tests:e000001-s000000001")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"topic": "missing"}, "topic missing does not exist"),
        ({"bootstrap_servers": f"127.0.0.1:{free_port()}"}, "connection refused"),
        ({"bootstrap_servers": "no-such-host.invalid:9092"}, "can't be resolved"),
    ],
)
def test_a_failure_is_one_sentence_with_its_cause(kafka: AnyBroker, change: dict[str, str], words: str) -> None:
    broken = settings(**{"servers": kafka.bootstrap_servers, "topic": "any"}).model_copy(
        update={"bootstrap_timeout_s": 2.0, **change}
    )
    with pytest.raises(KafkaUnavailable, match=words), Broker(broken, "tests") as broker:
        broker.topic()


def test_a_tail_of_markers_is_proven_absent_and_one_of_records_is_not(kafka: AnyBroker, topic: TopicFactory) -> None:
    name = topic(1)
    produce(kafka.bootstrap_servers, name, [b"x"] * 5)
    produce(kafka.bootstrap_servers, name, [b"x"] * 3, transaction=False)  # 5 to 7 aborted, 8 the marker
    produce(kafka.bootstrap_servers, name, [b"x"] * 2, transaction=True)  # 9 and 10, marker 11
    watch = Watch(settings(kafka.bootstrap_servers, name), "tests", interval_s=0.2)
    watch.start()
    try:
        until(lambda: watch.view.facts)
        proofs: list[tuple[Tail, int | None]] = []
        for tail in (Tail(0, 5, 9), Tail(0, 11, 12), Tail(0, 3, 5), Tail(0, 8, 12)):
            watch.prove(tail)
        until(lambda: proofs.extend(watch.proofs()) or len(proofs) == 4)
        assert [found for _, found in proofs] == [None, None, 3, 9]
    finally:
        watch.stop()


def test_the_watch_sees_new_partitions_and_records(kafka: AnyBroker, topic: TopicFactory) -> None:
    from kafka import KafkaAdminClient

    name = topic(1)
    changes = threading.Event()
    kafka_settings = settings(kafka.bootstrap_servers, name)
    watch = Watch(kafka_settings, "tests", start="earliest", group_id="penstock.watch", on_change=changes.set)
    watch.start()
    try:
        until(lambda: watch.view.facts)
        assert watch.view.origins == {0: 0}
        watch.set_level(True)
        produce(kafka.bootstrap_servers, name, [b"x"] * 3)
        until(lambda: watch.log_ends() == {0: 3}, deadline_s=2)
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.create_partitions({name: 2})
        admin.close()
        until(lambda: watch.view.facts is not None and watch.view.facts.partitions == (0, 1))
        assert changes.is_set()
    finally:
        watch.stop()
