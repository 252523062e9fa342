"""What an operator, or retention, does to a topic."""

from collections.abc import Callable

from kafka import KafkaAdminClient, TopicPartition


def with_admin(servers: str, do: Callable[[KafkaAdminClient], object]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        do(admin)
    finally:
        admin.close()


def remove_before(servers: str, topic: str, offset: int) -> None:
    """As retention would."""
    with_admin(servers, lambda admin: admin.delete_records({TopicPartition(topic, 0): offset}))


def recreate(servers: str, topic: str, partitions: int = 1) -> None:
    """The same name, another topic."""
    with_admin(servers, lambda admin: admin.delete_topics([topic]))
    options = {"num_partitions": partitions, "replication_factor": 1}
    with_admin(servers, lambda admin: admin.create_topics({topic: options}, wait_for_metadata=True))
