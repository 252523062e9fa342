"""The worker's own chain without a model: planner, rounds, pipeline, pump and book, with the defaults of the service.

Where the worker would take a training step, this takes the next batch. Records come through `kafka.reader`; with the
argument `memory` from a list, so that the difference is what Kafka costs.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from streaming.arrays import Array
from streaming.assembly import chain_parts, decoding_slots
from streaming.book import Book, batch_range_ids
from streaming.decoding import build_decoder
from streaming.feed import Feed, RoundEnded, RoundFailed
from streaming.kafka.dead_letters import DeadLetters
from streaming.ledger.ledger import Generation, Ledger
from streaming.ledger.planner import Planner
from streaming.metrics import Tally
from streaming.records.batch import Batch
from streaming.records.batches import Fetched, RangeReader, build_chain
from streaming.round import Held, HoldOut, Round
from streaming.settings import Settings
from streaming.settings_sources import load_settings
from tests.benchmarks.sides.consuming import values
from tests.benchmarks.sides.side import serve
from tests.benchmarks.topics import lengths

ENDLESS = 1 << 40
AHEAD_RANGES, AHEAD_BATCHES = 3, 4


class Memory:
    """`RangeReader` of records that are held already."""

    def __init__(self, held: dict[int, Array]) -> None:
        self._held = held

    def __call__(self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        value = tf.numpy_function(lambda p, first, last: self._held[p][first:last], [partition, start, stop], tf.string)
        value.set_shape([None])
        nothing = tf.fill(tf.shape(value), b"")
        return Fetched(value, nothing, tf.range(start, stop), tf.fill(tf.shape(value), np.int64(-1)), nothing)


class Endless:
    """`RangeReader` that goes on for ever: from the end of a partition, less a range, back to its start.

    counts: partition -> records; none has a hole.
    """

    def __init__(self, reader: RangeReader, counts: dict[int, int], range_records: int) -> None:
        self._reader = reader
        self._spans = tf.constant([counts[partition] - range_records for partition in sorted(counts)], tf.int64)

    def __call__(self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        first = start % self._spans[partition]
        fetched = self._reader(partition, first, first + stop - start)
        return fetched._replace(offset=tf.where(fetched.offset < 0, fetched.offset, fetched.offset + start - first))


class Line:
    """What the worker does with batches, but for the step. counts: partition -> records in the topic."""

    def __init__(self, settings: Settings, counts: dict[int, int], memory: Memory | None) -> None:
        self._tally = Tally()
        self._book = Book(DeadLetters(settings.kafka, "bench"), settings.records.max_bad_fraction, self._tally)
        ledger = Ledger(Generation("bench", settings.kafka.topic, "bench"))
        for partition in counts:
            ledger.open_partition(partition, 0)
        self._book.open(ledger)
        decoder = build_decoder(settings, labels=False)
        _, noting = decoding_slots(settings, crashed=False)
        kafka, pipeline = settings.kafka, settings.pipeline

        def build(ranges: Any, intake: Any) -> tf.data.Dataset:
            reader, intake, decode, options = chain_parts(settings, decoder, noting, intake)
            endless = Endless(memory or reader, counts, kafka.range_records)
            return build_chain(ranges, endless, intake, decode, options)

        self._feed = Feed(build)
        planner = Planner(
            ledger,
            range_records=kafka.range_records,
            range_bytes=kafka.range_bytes,
            backlog_window=pipeline.backlog_window,
            rng=random.Random(pipeline.seed),
            first_id=0,
        )
        self._round = Round(
            planner,
            lambda: dict.fromkeys(counts, ENDLESS),
            HoldOut(settings.evaluation.fraction, pipeline.seed),
            range_records=kafka.range_records,
            linger_s=pipeline.linger_s,
            bounded=False,
            clock=time.monotonic,
        )
        self._fetched_records = 0

    def batches(self) -> Iterator[int]:
        """Sizes of batches; each is booked as trained when the next one is asked for."""
        self._feed.begin(self._round)
        while True:
            self._settle()
            match self._feed.take(1.0):
                case Batch() as batch:
                    assert not len(batch.rejected.offset), batch.rejected
                    yield len(batch.offset)
                    self._book.trained(batch.partition, batch.offset, batch.event_time_ms)
                    self._round.settled(batch_range_ids(batch))
                case RoundFailed() | RoundEnded() as end:
                    raise AssertionError(end)

    def about(self) -> dict[str, Any]:
        """Records read and not settled; the memory of this process in bytes."""
        self._settle()
        settled = sum(self._book.ledger.counts().values())
        return {"ahead": self._fetched_records - settled, "rss": psutil.Process().memory_info().rss}

    def _settle(self) -> None:
        fetched, _ = self._round.take_fetched()
        self._fetched_records += fetched
        for finding in self._round.findings():
            assert isinstance(finding, Held), finding
            self._book.held_out(finding.partition, finding.records.offset.tolist())


def main() -> None:
    settings = load_settings()
    pipeline = settings.pipeline
    counts = lengths(settings.kafka)
    memory = None
    if sys.argv[1:] == ["memory"]:
        memory = Memory(held(settings, counts))
    read_ahead = (
        pipeline.shuffle_buffer + AHEAD_RANGES * settings.kafka.range_records + AHEAD_BATCHES * pipeline.batch_size
    )
    with tempfile.TemporaryDirectory() as folder:
        base = settings.checkpoint.model_copy(update={"directory": Path(folder)})
        line = Line(settings.model_copy(update={"checkpoint": base}), counts, memory)
        serve(line.batches(), read_ahead, line.about)


def held(settings: Settings, counts: dict[int, int]) -> dict[int, Array]:
    """All values of the topic, by partition and offset."""
    found = {}
    for partition, count in counts.items():
        records = values(settings.kafka, [partition])
        found[partition] = np.array([next(records) for _ in range(count)], object)
    return found


if __name__ == "__main__":
    main()
