"""Ray Data's bounded `read_kafka`, from the first record to the last, again and again; decoded with simplejpeg."""

import logging
import os
from collections.abc import Iterator

os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")

import numpy as np
import ray

from streaming.arrays import Array
from streaming.settings import Settings
from streaming.settings_sources import load_settings
from tests.benchmarks.contest import SETTLING
from tests.benchmarks.sides.decoding import with_simplejpeg
from tests.benchmarks.sides.side import cores, serve
from tests.benchmarks.topics import lengths

PREFETCH = 2


def main() -> None:
    settings = load_settings()
    ray.init(num_cpus=cores(), include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It may read to the end of a pass and no further: the next one is planned when this one is over.
    serve(batches(settings), sum(lengths(settings.kafka).values()) // SETTLING)


def batches(settings: Settings) -> Iterator[int]:
    """Sizes of batches."""
    kafka, pipeline = settings.kafka, settings.pipeline
    size = pipeline.image_size

    def decoded(columns: dict[str, Array]) -> dict[str, Array]:
        rng = np.random.default_rng()
        pairs = [with_simplejpeg(value, size) for value in columns["value"]]
        images, masks = np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])
        flip = rng.random(len(pairs)) < 0.5
        images[flip], masks[flip] = images[flip, :, ::-1], masks[flip, :, ::-1]
        return {"image": images, "mask": masks}

    while True:
        records = ray.data.read_kafka(kafka.topic, bootstrap_servers=kafka.bootstrap_servers)
        chain = records.select_columns(["value"]).map_batches(decoded, batch_size=pipeline.batch_size)
        for batch in chain.iter_batches(
            batch_size=pipeline.batch_size,
            prefetch_batches=PREFETCH,
            local_shuffle_buffer_size=pipeline.shuffle_buffer,
        ):
            yield len(batch["image"])


if __name__ == "__main__":
    main()
