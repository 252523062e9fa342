"""confluent-kafka, a pool of Python threads, and the same native decoders as ours."""

import itertools
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from streaming.arrays import Array
from streaming.decoding import build_decoder
from streaming.records.decode import Decoded, Decoder
from streaming.settings_sources import load_settings
from tests.benchmarks.sides.consuming import shuffled, values
from tests.benchmarks.sides.side import cores, serve
from tests.benchmarks.topics import lengths

AHEAD_BATCHES = 2  # decoded beside those that are being decoded


def main() -> None:
    settings = load_settings()
    pipeline = settings.pipeline
    records = values(settings.kafka, lengths(settings.kafka))
    mixed = shuffled(records, pipeline.shuffle_buffer, random.Random(pipeline.seed))
    decoder = build_decoder(settings, labels=False)
    flight = (cores() + 1 + AHEAD_BATCHES) * pipeline.batch_size
    serve(batches(mixed, decoder, pipeline.batch_size), pipeline.shuffle_buffer + flight)


def batches(records: Iterator[bytes], decoder: Decoder, size: int) -> Iterator[int]:
    """Sizes of decoded batches."""
    rng = np.random.default_rng(0)
    with ThreadPoolExecutor(cores() + 1) as pool:
        chunks = (pool.submit(decoded, decoder, chunk, rng.random(size) < 0.5) for chunk in chunked(records, size))
        waiting = deque(itertools.islice(chunks, cores() + 1 + AHEAD_BATCHES))
        while True:
            images, _ = waiting.popleft().result()
            waiting.append(next(chunks))
            yield len(images)


def chunked(records: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of `size`."""
    while chunk := list(itertools.islice(records, size)):
        yield chunk


def decoded(decoder: Decoder, chunk: list[bytes], flip: Array) -> tuple[Array, Array]:
    """uint8[B, S, S, 3] and uint8[B, S, S]. flip: bool[B]."""
    found = [decoder(value, b"") for value in chunk]
    assert all(isinstance(one, Decoded) for one in found), found
    images, masks = np.stack([one.image for one in found]), np.stack([one.target for one in found])
    images[flip], masks[flip] = images[flip, :, ::-1], masks[flip, :, ::-1]
    return images, masks


if __name__ == "__main__":
    main()
