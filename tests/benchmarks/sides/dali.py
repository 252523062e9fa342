"""NVIDIA DALI on the CPU: records from confluent-kafka, everything else in DALI's own operators, a thread a core."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types

from streaming.arrays import Array
from streaming.records.example import parse_example
from streaming.records.sample import Sample
from streaming.settings_sources import load_settings
from tests.benchmarks.sides.consuming import shuffled, values
from tests.benchmarks.sides.side import cores, serve
from tests.benchmarks.topics import lengths

PREFETCH = 2  # DALI's default


@pipeline_def
def chain(source: Any, size: int) -> Any:
    """Pairs of encoded pictures -> images uint8[B, S, S, 3] and masks uint8[B, S, S, 1]."""
    encoded, encoded_mask = fn.external_source(source, num_outputs=2, dtype=types.UINT8)
    image = fn.decoders.image(encoded, device="cpu", output_type=types.RGB)
    mask = fn.decoders.image(encoded_mask, device="cpu", output_type=types.GRAY)
    flip = fn.random.coin_flip()
    image = fn.flip(fn.resize(image, size=(size, size), interp_type=types.INTERP_LINEAR), horizontal=flip)
    mask = fn.flip(fn.resize(mask, size=(size, size), interp_type=types.INTERP_NN), horizontal=flip)
    return image, mask


def main() -> None:
    settings = load_settings()
    wanted = settings.pipeline
    mixed = shuffled(values(settings.kafka, lengths(settings.kafka)), wanted.shuffle_buffer, random.Random(wanted.seed))
    built = chain(
        pairs(mixed, wanted.batch_size),
        wanted.image_size,
        batch_size=wanted.batch_size,
        num_threads=cores(),
        device_id=None,
        prefetch_queue_depth=PREFETCH,
    )
    built.build()

    def batches() -> Iterator[int]:
        while True:
            yield len(built.run()[0])

    serve(batches(), wanted.shuffle_buffer + (PREFETCH + 2) * wanted.batch_size)


def pairs(records: Iterator[bytes], size: int) -> Iterator[tuple[list[Array], list[Array]]]:
    """Encoded images and masks of a batch, uint8[N] each."""
    while True:
        samples = [parse_example(value, b"") for value in itertools.islice(records, size)]
        assert all(isinstance(sample, Sample) for sample in samples)
        yield (
            [np.frombuffer(sample.image, np.uint8) for sample in samples],
            [np.frombuffer(sample.target, np.uint8) for sample in samples],
        )


if __name__ == "__main__":
    main()
