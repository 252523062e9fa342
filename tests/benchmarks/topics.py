"""The topics that every side reads, one a profile: a few hundred drawn pets, over and over."""

import itertools

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.progress import track

from streaming.demo.produce import Producer, ensure_topic
from streaming.demo.profiles import Profile, Shape
from streaming.demo.synthetic import synthetic
from streaming.settings import KafkaSettings
from streaming.settings_sources import load_settings

DRAWN, SEED, PARTITIONS = 400, 1, 4
OUT = Console(stderr=True)


def fill(servers: str, profile: Profile, image_size: int, count: int) -> float:
    """Make the topic that is called like the profile; the mean size of its values in bytes."""
    kafka = load_settings(flags={"kafka": {"bootstrap_servers": servers, "topic": profile}}).kafka
    ensure_topic(kafka, PARTITIONS)
    drawn = list(synthetic(SEED, count=DRAWN, shape=Shape(profile, image_size)))
    with Producer(kafka) as producer:
        sent = producer.send(itertools.islice(itertools.cycle(drawn), count))
        for _ in track(sent, f"sending {count} records, {profile}", count, console=OUT):
            pass
        return producer.bytes_total / producer.records_total


def lengths(kafka: KafkaSettings) -> dict[int, int]:
    """Partition -> records; every partition begins at 0 and has no holes."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "bench"})
    partitions = sorted(consumer.list_topics(kafka.topic, timeout=10).topics[kafka.topic].partitions)
    found = {p: consumer.get_watermark_offsets(TopicPartition(kafka.topic, p), timeout=10)[1] for p in partitions}
    consumer.close()
    return found
