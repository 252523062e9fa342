"""The real chain, rounds, planner and ledger over a topic in memory, and the loop that books what comes out."""

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from streaming.book import batch_range_ids
from streaming.feed import Feed, Item, RoundEnded, RoundFailed
from streaming.kafka.tails import Tail
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.ledger.planner import Planner
from streaming.records.batch import Batch
from streaming.records.batches import BatchDecoder, ChainOptions, build_chain
from streaming.records.decode import Decoder, Limits, Parse
from streaming.round import Absent, Held, HoldOut, Round
from tests.streaming.memory import MemoryTopic
from tests.streaming.user_code import parse

DEADLINE_S = 30.0
LINGER_S = 0.2
SIZE = 8


def no_fallback(encoded: bytes) -> Any:
    raise ValueError("no decoder can read it")


class Loop:
    """What the worker's main thread does, without a model. seen: how often each record came out of the chain."""

    def __init__(
        self,
        topic: MemoryTopic,
        *,
        batch_size: int = 16,
        shuffle_buffer: int = 50,
        range_records: int = 20,
        fraction: float = 0.0,
        bounded: bool = True,
        augment: bool = False,
        preprocess: Any = None,
        parser: Parse = parse,
        labels: bool = False,
        max_bytes: int = 1000,
    ) -> None:
        self.topic = topic
        self.ledger = Ledger(Generation("c1", "pets", "t1"))
        for partition in topic.ends:
            self.ledger.open_partition(partition, 0)
        self.hold_out = HoldOut(fraction, 0)
        self.seen: Counter[tuple[int, int]] = Counter()
        self.failures: list[str] = []
        self.batches: list[Batch] = []
        self._bounded = bounded
        self._range_records = range_records
        self._next_id = 0
        self._rng = random.Random(0)
        self._round: Round | None = None
        limits = Limits(SIZE, 3, max_bytes, 1 << 20, labels=labels)
        options = ChainOptions(batch_size, shuffle_buffer, 2, 0, augment, preprocess)
        decoder = BatchDecoder(Decoder(limits, parser, no_fallback), options)
        self.build = lambda ranges, intake: build_chain(ranges, topic, intake, decoder, options)
        self.feed = Feed(self.build)

    @property
    def current(self) -> Round:
        assert self._round is not None
        return self._round

    def begin(self) -> None:
        planner = Planner(
            self.ledger,
            range_records=self._range_records,
            range_bytes=1 << 20,
            backlog_window=100,
            rng=self._rng,
            first_id=self._next_id,
        )
        self._round = Round(
            planner,
            lambda: self.topic.ends,
            self.hold_out,
            range_records=self._range_records,
            linger_s=LINGER_S,
            bounded=self._bounded,
            clock=time.monotonic,
        )
        self.feed.begin(self._round)

    def take(self) -> Item:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            self.settle()
            item = self.feed.take(0.1)
            if item is not None:
                return item
        raise AssertionError("nothing came out of the chain in time")

    def book(self, batch: Batch) -> None:
        """Every record of the batch is settled, as trained or as dead-lettered."""
        self.batches.append(batch)
        rejected = batch.rejected
        for kind, partitions, offsets in (
            (Kind.TRAINED, batch.partition, batch.offset),
            (Kind.DEAD_LETTERED, rejected.partition, rejected.offset),
        ):
            for partition in np.unique(partitions).tolist():
                self.ledger.record(partition, kind, offsets[partitions == partition])
            self.seen.update(zip(partitions.tolist(), offsets.tolist(), strict=True))
        self.current.settled(batch_range_ids(batch))

    def settle(self) -> None:
        for finding in self.current.findings():
            match finding:
                case Absent(partition=partition, offsets=offsets):
                    self.ledger.record(partition, Kind.ABSENT, offsets)
                case Tail(partition=partition, start=start, stop=stop):
                    assert not any(offset in self.topic.records[partition] for offset in range(start, stop))
                    self.ledger.record_range(partition, Kind.ABSENT, start, stop)
                case Held(partition=partition, records=records):
                    self.ledger.record(partition, Kind.HELD_OUT, records.offset)
                    held = self.topic.records[partition]
                    assert [held[offset] for offset in records.offset.tolist()] == records.value.tolist()

    def retire(self) -> None:
        self._next_id += 1 << 32
        self.feed.retire()
        self._round = None

    def run_round(self, abandon_after: int | None = None) -> int:
        """One round to its end, or to its n-th batch; returns how many batches were booked."""
        self.begin()
        taken = 0
        while abandon_after is None or taken < abandon_after:
            match self.take():
                case Batch() as batch:
                    self.book(batch)
                    taken += 1
                case RoundFailed(detail=detail):
                    self.failures.append(detail)
                    break
                case RoundEnded():
                    self.settle()
                    break
        self.retire()
        return taken

    def run_until_settled(self, abandon_after: Callable[[], int | None] = lambda: None) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while any(self.ledger.position(p) < end for p, end in self.topic.ends.items()):
            assert time.monotonic() < deadline, "the topic isn't settled in time"
            self.run_round(abandon_after())
