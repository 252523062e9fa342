"""Three real brokers on loopback, each topic on all of them, any of which can be killed, frozen and started again."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streaming.demo.node import ONE_COPY, KafkaNode, new_cluster_id
from streaming.demo.ports import free_port
from tests.line.line import nap

BROKERS = 3
COPIES = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}
# One partition, so that its leader coordinates every transaction.
ONE_COORDINATOR = {"transaction.state.log.num.partitions": "1"}


class KafkaCluster:
    """Broker and controller in one, three times; replication factor 3, of which 2 must have every record.

    Timeouts are Kafka's own, so a failover takes what it takes in production: up to 9 s until a dead broker's session
    ends, and a second or two more where it was the active controller.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.brokers = {number: KafkaNode(directory / f"broker-{number}", heap_mb=256) for number in _numbers()}

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(broker.bootstrap_servers for broker in self.brokers.values())

    def start(self) -> None:
        """Format, start all, and wait until each knows all."""
        ports = {number: (free_port(), free_port()) for number in _numbers()}
        voters = ",".join(f"{number}@127.0.0.1:{controller}" for number, (_, controller) in ports.items())
        settings = {**ONE_COPY, **COPIES, **ONE_COORDINATOR, "controller.quorum.voters": voters}
        cluster_id = new_cluster_id()
        for number, broker in self.brokers.items():
            broker.configure(number, *ports[number], settings)
            broker.format(cluster_id)
        for broker in self.brokers.values():
            broker.launch()
        for broker in self.brokers.values():
            broker.wait()
        self.until_known(set(self.brokers))

    def stop(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    def restart(self, number: int) -> None:
        """Start a broker again on its port and data; returns once the others know it."""
        self.brokers[number].stop()
        self.brokers[number].launch()
        self.brokers[number].wait()
        self.until_known({each for each, broker in self.brokers.items() if broker.running})

    def create(self, topic: str, partitions: int = 1) -> None:
        admin = self._admin()
        admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": BROKERS}})
        admin.close()
        self._ask(lambda admin: _leaders(admin, topic).keys() >= set(range(partitions)), f"topic {topic}")

    def leader_of(self, topic: str, partition: int) -> int:
        """The number of the broker that leads the partition now."""
        return int(self._ask(lambda admin: _leaders(admin, topic).get(partition), f"a leader of {topic}"))

    def coordinator(self) -> int:
        """The number of the broker that coordinates transactions; there must have been one."""
        return self.leader_of("__transaction_state", 0)

    def until_known(self, numbers: set[int]) -> None:
        """Until exactly these are the cluster's live brokers."""
        self._ask(
            lambda admin: {broker["broker_id"] for broker in admin.describe_cluster()["brokers"]} == numbers,
            f"brokers {sorted(numbers)}",
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _admin(self) -> Any:
        servers = [broker.bootstrap_servers for broker in self.brokers.values() if broker.running]
        return KafkaAdminClient(bootstrap_servers=servers, bootstrap_timeout_ms=20_000)

    def _ask(self, question: Callable[[Any], Any], what: str) -> Any:
        """The first answer that says anything; while a dead broker is still listed some fail."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(KafkaError), closing(self._admin()) as admin:
                if answer := question(admin):
                    return answer
            nap(0.2)
        raise AssertionError(f"the cluster never had {what}")


def _numbers() -> range:
    return range(1, BROKERS + 1)


def _leaders(admin: Any, topic: str) -> dict[int, int]:
    described = admin.describe_topics([topic])[0]["partitions"]
    return {each["partition_index"]: each["leader_id"] for each in described if each["leader_id"] >= 0}
