"""One side of `make bench-decode`, in a process of its own. Obeys lines on stdin.

Each line is a number of seconds; the answer is a line of JSON with the images, the seconds and the CPU seconds of this
process between the first and the last counted batch. All sides take the same drawn pets from memory.
"""

import itertools
import json
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import simplejpeg

from streaming.arrays import Array
from streaming.demo.profiles import Profile, Shape
from streaming.demo.synthetic import synthetic
from streaming.records.batch import Encoded
from streaming.settings import Settings
from streaming.settings_sources import load_settings

DRAWN = 400
UNCOUNTED_BATCHES = 64  # many times what is decoded ahead: two in prefetch, one in the queue, one a thread
FLOORS = {"half": 2, "entropy": 8}  # libjpeg-turbo alone, at 1/2 and 1/8 of the size


def main() -> None:
    side, profile = sys.argv[1:]
    settings = load_settings()
    shape = Shape(Profile(profile), settings.pipeline.image_size)
    values = [record.value or b"" for record in synthetic(seed=1, count=DRAWN, shape=shape)]
    sizes = {"plain": plain, "service": service}.get(side, lambda s, v: floor(s, v, FLOORS[side]))(settings, values)
    for line in sys.stdin:
        for _ in range(UNCOUNTED_BATCHES):
            next(sizes)
        images, began, cpu_s = 0, time.monotonic(), cpu()
        while time.monotonic() < began + float(line):
            images += next(sizes)
        print(json.dumps({"images": images, "s": time.monotonic() - began, "cpu_s": cpu() - cpu_s}), flush=True)
    os._exit(0)  # its threads never end


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def plain(settings: Settings, values: list[bytes]) -> Iterator[int]:
    """Sizes of the batches of the tutorials' chain."""
    from tests.benchmarks.plain_chain import from_memory, plain_chain

    pipeline = settings.pipeline
    chain = plain_chain(from_memory(values), pipeline.image_size, pipeline.batch_size, pipeline.shuffle_buffer)
    for images, _ in chain:
        yield len(images)


def service(settings: Settings, values: list[bytes]) -> Iterator[int]:
    """Sizes of the batches of the worker's chain and pump, which a reader in memory feeds."""
    import tensorflow as tf

    from streaming.assembly import chain_options
    from streaming.decoding import build_decoder
    from streaming.feed import QUEUE_BATCHES
    from streaming.records.batches import BatchDecoder, Fetched, build_chain

    kept = tf.constant(values)

    def read(partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        offset = tf.range(start, stop)
        value = tf.gather(kept, offset % len(values))
        nothing = tf.fill(tf.shape(offset), "")
        return Fetched(value, nothing, offset, -tf.ones_like(offset), nothing)

    def ranges() -> Iterator[tuple[int, int, int, int]]:
        for number in itertools.count():
            yield number, 0, number * settings.kafka.range_records, (number + 1) * settings.kafka.range_records

    options = chain_options(settings, None)
    decode = BatchDecoder(build_decoder(settings, labels=False), options)
    chain = build_chain(ranges, read, Everything(), decode, options)
    taken: queue.Queue[Any] = queue.Queue(QUEUE_BATCHES)

    def pump() -> None:
        for batch in chain:
            taken.put(batch)

    threading.Thread(target=pump, daemon=True).start()
    while True:
        yield len(taken.get().offset)


class Everything:
    """`Intake` that trains every record."""

    def delivered(self, range_id: int, offsets: Array, size_bytes: int) -> tuple[Array, Array]:
        return np.ones(len(offsets), bool), np.zeros(len(offsets), bool)

    def held_out(self, range_id: int, records: Encoded) -> None:
        assert not len(records.offset)


def floor(settings: Settings, values: list[bytes], ratio: int) -> Iterator[int]:
    """As many pictures as a batch has, again and again, decoded on all cores and thrown away."""
    from streaming.records.example import parse_example
    from streaming.records.sample import Sample

    samples = [parse_example(value, b"") for value in values]
    pictures = itertools.cycle([sample.image for sample in samples if isinstance(sample, Sample)])
    done: queue.Queue[int] = queue.Queue(1)
    batch, lock = settings.pipeline.batch_size, threading.Lock()

    def work() -> None:
        while True:
            with lock:
                mine = list(itertools.islice(pictures, batch))
            for picture in mine:
                height, width, *_ = simplejpeg.decode_jpeg_header(picture)
                simplejpeg.decode_jpeg(picture, "RGB", min_height=-(-height // ratio), min_width=-(-width // ratio))
            done.put(batch)

    for _ in os.sched_getaffinity(0):
        threading.Thread(target=work, daemon=True).start()
    while True:
        yield done.get()


if __name__ == "__main__":
    main()
