"""Which client reads ranges, and why."""

from typing import TYPE_CHECKING, Literal

from streaming.kafka_clients import beyond_tensorflow_io
from streaming.settings import KafkaSettings

if TYPE_CHECKING:
    from streaming.records.batches import RangeReader

Name = Literal["tensorflow-io", "confluent-kafka"]


def chosen(kafka: KafkaSettings) -> tuple[Name, str]:
    """The client's name, and the same with the reason, for the status."""
    if kafka.reader == "confluent":
        return "confluent-kafka", "confluent-kafka (kafka.reader)"
    reason = beyond_tensorflow_io(kafka)
    if reason is not None:
        return "confluent-kafka", f"confluent-kafka (kafka.{reason})"
    return "tensorflow-io", "tensorflow-io"


def open_reader(kafka: KafkaSettings, group_id: str) -> "RangeReader":
    """The chosen one; the other's library isn't loaded."""
    name, _ = chosen(kafka)
    if name == "confluent-kafka":
        from streaming.kafka.confluent_reader import ConfluentReader

        return ConfluentReader(kafka, group_id)
    from streaming.kafka.tfio_reader import TfioReader

    return TfioReader(kafka, group_id)
