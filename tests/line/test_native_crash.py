"""A record whose decoding kills the process natively is found, dead-lettered and never decoded again."""

import shutil
import signal

import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.conftest import Broker, TopicFactory
from tests.line.conftest import Serve
from tests.line.crashing import NULL, SIGNAL
from tests.line.line import Service, produce, record

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

RECORDS = 120
GUILTY = {0: {33}, 1: {41}}


def letters_of(servers: str, topic: str) -> list[tuple[int, int, str, str]]:
    """(partition, offset, reason, detail) of every letter."""
    consumer, tp = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest"), TopicPartition(topic, 0)
    consumer.assign([tp])
    (end,) = consumer.end_offsets([tp]).values()
    found = []
    while consumer.position(tp) < end:
        for letter in consumer.poll(timeout_ms=500).get(tp, []):
            headers = {name.removeprefix("__connect.errors."): value.decode() for name, value in letter.headers}
            place = int(headers["partition"]), int(headers["offset"])
            found.append((*place, headers["exception.class.name"], headers["exception.message"]))
    consumer.close()
    return found


def dead_lettered(service: Service) -> dict[int, set[int]]:
    parts = service.get(f"/v1/checkpoints/{service.checkpoint()}/records")["partitions"]
    return {
        part["partition"]: {offset for start, stop in part["dead_lettered"] for offset in range(start, stop)}
        for part in parts
    }


@pytest.mark.slow
def test_the_guilty_records_are_found_dead_lettered_and_not_decoded_again(
    kafka: Broker, topic: TopicFactory, serve: Serve
) -> None:
    name, letters = topic(2), topic(1)
    values = [record(n) for n in range(RECORDS)]
    values[2 * 33], values[2 * 41 + 1] = SIGNAL, NULL
    produce(kafka.bootstrap_servers, name, values, 2)
    hooks = {"records.parse": "crashing:parse", "kafka.dead_letter_topic": letters, "pipeline.shuffle_buffer": 8}
    service = serve(name, hooks | {"service.restart_backoff_s": 0.1})

    status = service.settled(RECORDS)
    restarts = status["worker"]["restarts"]
    assert status["records"]["dead_lettered"] == 2
    assert status["records"]["trained"] + status["records"]["held_out"] == RECORDS - 2
    assert 1 <= restarts <= 3
    assert dead_lettered(service) == GUILTY
    told = letters_of(kafka.bootstrap_servers, letters)
    assert {letter[:3] for letter in told} == {(0, 33, "crashes_decoder"), (1, 41, "crashes_decoder")}
    assert all("SIGSEGV" in detail for *_, detail in told)
    searches = service.events("native_crash_searched")
    assert sorted(place for search in searches for place in search["guilty"]) == [[0, 33], [1, 41]]

    # Everything since the first checkpoint is lost: the records are read again, but for the guilty ones.
    assert service.signal(signal.SIGTERM) == 0
    for later in sorted(service.checkpoints.glob("e*-s*"))[1:]:
        shutil.rmtree(later) if later.is_dir() else later.unlink()
    service.start()
    status = service.settled(RECORDS)
    assert status["worker"]["restarts"] == 0
    assert dead_lettered(service) == GUILTY
    assert len(service.events("native_crash_searched")) == len(searches)
    print(f"restarts {restarts}, records decoded in children {sum(search['records'] for search in searches)}")
