"""How a user of confluent-kafka reads a topic for training: whole polls, a shuffle buffer, from the start again."""

import random
from collections.abc import Iterable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streaming.settings import KafkaSettings

POLL_RECORDS = 256


def values(kafka: KafkaSettings, partitions: Iterable[int]) -> Iterator[bytes]:
    """The values of these partitions for ever."""
    consumer = _consumer(kafka)
    consumer.assign([TopicPartition(kafka.topic, partition, 0) for partition in partitions])
    while True:
        for message in consumer.consume(POLL_RECORDS, timeout=1.0):
            error = message.error()
            if error is None:
                yield message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                consumer.seek(TopicPartition(kafka.topic, message.partition(), 0))
            else:
                raise KafkaException(error)


def shuffled(records: Iterable[bytes], size: int, rng: random.Random) -> Iterator[bytes]:
    """Through a buffer of `size` records."""
    held: list[bytes] = []
    for record in records:
        if len(held) < size:
            held.append(record)
            continue
        at = rng.randrange(size)
        yield held[at]
        held[at] = record


def _consumer(kafka: KafkaSettings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "bench",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 1,
        }
    )
