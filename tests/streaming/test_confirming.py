"""A checkpoint waits until the broker has said which topic this is, but never long for a broker that doesn't answer."""

import time

import pytest
from kafka import KafkaAdminClient

from streaming.confirming import HURRY_S, Confirmation
from streaming.demo.kafka import EmbeddedKafka
from streaming.errors import CheckpointError
from streaming.kafka.watch import Watch
from streaming.ledger.ledger import Generation
from streaming.settings import KafkaSettings
from tests.line.line import nap
from tests.line.topics import recreate

pytestmark = pytest.mark.kafka


def test_a_topic_recreated_since_is_found_out_and_a_silent_broker_is_not_waited_for(
    killable_kafka: EmbeddedKafka,
) -> None:
    name = "confirmed"
    admin = KafkaAdminClient(bootstrap_servers=killable_kafka.bootstrap_servers)
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    watch = Watch(KafkaSettings(bootstrap_servers=killable_kafka.bootstrap_servers, topic=name), "test")
    watch.start()
    try:
        before = first_generation(watch)
        confirm = Confirmation(watch)
        confirm(before)
        recreate(killable_kafka.bootstrap_servers, name)
        with pytest.raises(CheckpointError, match="what was trained since"):
            confirm(before)
        killable_kafka.freeze()
        confirm.hurry()
        began = time.monotonic()
        confirm(before)
        assert time.monotonic() - began < HURRY_S + 1
    finally:
        killable_kafka.thaw()
        watch.stop()
        admin.close()


def first_generation(watch: Watch) -> Generation:
    deadline = time.monotonic() + 20
    while watch.view.facts is None and time.monotonic() < deadline:
        nap()
    assert watch.view.facts is not None
    return watch.view.facts.generation
