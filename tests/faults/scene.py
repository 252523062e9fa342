"""What the faults of Kafka have in common: topics, outages, and how soon training goes on."""

import time
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from tests.faults.visible import Lookout
from tests.line.line import Service, nap

READERS = ["tensorflow-io", "confluent"]
ALL_TRAINED = {"evaluation.fraction": 0}


def create_topic(servers: str, topic: str, partitions: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers.split(","))
    admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()


def sees_degraded(lookout: Lookout, problem: str = "kafka-unavailable", text: str = "") -> str:
    """What keeps training from going on is told as such. text: a part of the problem's detail."""

    def told(status: Any) -> bool:
        degraded = status["degraded"] or {"reason": None, "detail": ""}
        return degraded["reason"] == problem and text in degraded["detail"]

    return lookout.sees(
        status=told, event="problem", fields={"problem": problem}, metric="penstock_degraded", rises=None
    )


def sees_failed(lookout: Lookout, problem: str) -> str:
    """The end in state `failed` is told with its cause."""
    return lookout.sees(
        status=lambda status: status["state"] == "failed" and status["problems"][0]["type"] == problem,
        event="service_failed",
        fields={"problem": problem},
        metric="penstock_worker_state{failed}",
        rises=None,
    )


def resumed_after(service: Service, trained: int, deadline_s: float = 60.0) -> float:
    """Seconds from now until more than `trained` records are trained."""
    began = time.monotonic()
    service.until(lambda status: status["records"]["trained"] > trained, deadline_s)
    return time.monotonic() - began


def settle(service: Service, servers: str, topic: str) -> Any:
    """The status once every position is where the topic ends for a committed reader."""
    consumer = KafkaConsumer(bootstrap_servers=servers.split(","), isolation_level="read_committed")
    parts = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    ends = {part.partition: end for part, end in consumer.end_offsets(parts).items()}
    consumer.close()
    return service.until(lambda status: {each["partition"]: each["position"] for each in status["partitions"]} == ends)


def nap_until(moment: float) -> None:
    """moment: monotonic."""
    while (left_s := moment - time.monotonic()) > 0:
        nap(left_s)
