"""More questions to the broker, which only somebody asks who wants to know whether all is in order."""

import time
from collections.abc import Collection, Mapping

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import CorruptRecordError

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import Broker, translated
from streaming.kafka.consumer import open_consumer
from streaming.settings import KafkaSettings

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
READ_S = 5.0


class Inspection(Broker):
    """A `Broker` that is asked more; the same rules hold."""

    def version(self) -> tuple[int, ...]:
        """Of the broker, as the protocols it speaks tell it; (0,) if they don't."""
        return tuple(self._admin._manager.broker_version or (0,))

    def config(self, topic: str, names: Collection[str]) -> Mapping[str, str]:
        """The topic's settings as they are in force; nothing without the right DescribeConfigs on it."""
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, list(names))
        with translated(f"settings of topic {topic}"):
            answer = self._admin.describe_configs([asked], config_filter="all").get("topic", {}).get(topic)
        return {} if not answer else {name: str(entry["value"]) for name, entry in answer.items()}

    def check_writable(self, topic: str) -> None:
        """Raises KafkaUnavailable when the topic is missing, or this user may not write to it."""
        with translated(f"topic {topic}"):
            self._described(topic, "Write", "kafka.dead_letter_topic")


def codecs(kafka: KafkaSettings, client_id: str, logs: Mapping[int, tuple[int, int]]) -> set[str]:
    """How some batches of the topic are compressed: the first and the last of each log, none, gzip, snappy, lz4, zstd.

    logs: partition -> offsets [start, stop). A sample can't prove that a codec is absent. Raises KafkaUnavailable.
    """
    seen: set[int] = set()
    places = [(partition, at) for partition, (start, stop) in logs.items() if stop > start for at in {start, stop - 1}]
    with translated(f"reading topic {kafka.topic}"):
        consumer = open_consumer(kafka, client_id, codecs=seen, max_partition_fetch_bytes=1)
        try:
            for partition, at in places:
                place = TopicPartition(kafka.topic, partition)
                consumer.assign([place])
                consumer.seek(place, at)
                deadline = time.monotonic() + READ_S
                while time.monotonic() < deadline and not consumer.poll(timeout_ms=200, max_records=1):
                    if consumer.position(place) > at:
                        break
        except CorruptRecordError as error:
            raise KafkaUnavailable(f"topic {kafka.topic}: a batch is damaged: {error}") from error
        finally:
            consumer.close()
    return {CODECS.get(codec, str(codec)) for codec in seen}
