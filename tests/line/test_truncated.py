"""A log that was cut short under the service stops it, with an answer that puts things right."""

import shutil

import pytest
from kafka import KafkaAdminClient

from streaming.demo.kafka import EmbeddedKafka
from tests.line.line import Service, produce, record

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

NAME = "cut-short"


def cut(broker: EmbeddedKafka) -> None:
    """Remove the segments of partition 0; the topic keeps its id, as after an unclean leader election."""
    broker.stop()
    folder = broker.directory / "data" / f"{NAME}-0"
    assert (folder / "partition.metadata").is_file()
    for path in folder.iterdir():
        if path.name != "partition.metadata":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    broker.restart()


@pytest.mark.slow
def test_a_log_that_is_shorter_than_what_was_read_stops_the_service_until_the_offsets_are_owed_again(
    killable_kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory
) -> None:
    servers = killable_kafka.bootstrap_servers
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics({NAME: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()
    produce(servers, NAME, [record(n) for n in range(80)], 2)
    with Service(tmp_path_factory.mktemp("truncated"), servers, NAME, {"evaluation.fraction": 0}) as service:
        service.settled(80)
        cut(killable_kafka)
        status = service.until(lambda status: status["state"] == "failed")
        (problem,) = status["problems"]
        assert problem["type"] == "log-truncated"
        assert "partition 0 ends at 0, and was read up to 40" in problem["detail"]
        assert status["worker"]["restarts"] == 0

        produce(servers, NAME, [record(n) for n in range(100, 110)])
        answer = service.post(f"/v1/problems/{problem['type']}/resolve", answer="retrain")
        assert answer.status_code in (200, 202), answer.text
        status = service.until(lambda status: status["records"].get("trained") == 50)
        assert [part["position"] for part in status["partitions"]] == [10, 40]
