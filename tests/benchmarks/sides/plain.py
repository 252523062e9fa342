"""The baseline: the tutorials' chain from KafkaDataset. The topic's name says what its records hold."""

import os
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from streaming.demo.profiles import Profile
from streaming.settings_sources import load_settings
from tests.benchmarks.plain_chain import decoded, from_kafka, plain_chain, raw
from tests.benchmarks.sides.side import serve
from tests.benchmarks.topics import lengths

PREFETCHED = 64  # batches: how far prefetch(AUTOTUNE) was seen to grow


def main() -> None:
    settings = load_settings()
    kafka, pipeline = settings.kafka, settings.pipeline
    values = from_kafka(kafka.bootstrap_servers, kafka.topic, lengths(kafka), "bench").repeat()
    decode = raw if kafka.topic == Profile.RAW else decoded
    chain = plain_chain(values, pipeline.image_size, pipeline.batch_size, pipeline.shuffle_buffer, decode)

    def batches() -> Iterator[int]:
        for images, _ in chain:
            yield len(images)

    serve(batches(), pipeline.shuffle_buffer + PREFETCHED * pipeline.batch_size)


if __name__ == "__main__":
    main()
