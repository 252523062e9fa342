"""The pump between tf.data and the main thread: one pipeline object, one iteration of it a round.

`next()` on a tf.data iterator can't be interrupted, so it runs on a thread of its own and the main thread waits on a
bounded queue. After an error the iterator is never asked again: it would block for ever.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from streaming.arrays import Array
from streaming.records.batch import Batch, Encoded, Rejected
from streaming.records.batches import Intake
from streaming.round import Round
from streaming.sentence import sentence

QUEUE_BATCHES = 1  # beside the two that the chain prefetches


class RoundEnded(NamedTuple):
    """The round has drained; everything it read has been taken."""


class RoundFailed(NamedTuple):
    """The round is lost; what it read and did not train is read again. detail: the error's text."""

    detail: str


Item = Batch | RoundEnded | RoundFailed


class Feed:
    """Runs rounds, one at a time. `begin`, `take` and `retire` belong to the main thread.

    build: makes the dataset from (ranges, intake), once. device: images and targets are copied there while the step
    before theirs runs; None: they stay where they are.
    """

    def __init__(
        self,
        build: Callable[[Callable[[], Iterator[tuple[int, int, int, int]]], Intake], tf.data.Dataset],
        device: str | None = None,
    ) -> None:
        self._device = device
        self._dataset = build(self._ranges, _Current(self))
        self._pump: _Pump | None = None
        self._round: Round | None = None
        self._unclaimed: Round | None = None  # whose ranges no iteration has asked for yet

    @property
    def active(self) -> bool:
        return self._pump is not None

    def begin(self, new: Round) -> None:
        """Start a round; the one before must be over."""
        assert self._pump is None, "a round is running"
        self._round = self._unclaimed = new
        self._pump = _Pump(self._dataset, new, self._device)

    def take(self, timeout_s: float) -> Item | None:
        """The next batch, or how the round ended; None when nothing came in time."""
        assert self._pump is not None, "no round is running"
        try:
            item = self._pump.items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        return item

    def retire(self) -> None:
        """The round is over, or to be dropped: what it still delivers is ignored by range id."""
        assert self._round is not None
        assert self._pump is not None
        self._round.stop()
        self._pump.stop()
        self._round = self._unclaimed = self._pump = None

    def current(self) -> Round | None:
        return self._round

    def _ranges(self) -> Iterator[tuple[int, int, int, int]]:
        """A round's ranges go to one iteration only: a retired one may get here late, when the next has begun."""
        claimed, self._unclaimed = self._unclaimed, None
        if claimed is not None:
            yield from claimed.ranges()


class _Current:
    """`Intake` of whichever round is running: the graph is built once and outlives every round."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def delivered(self, range_id: int, offsets: Array, size_bytes: int) -> tuple[Array, Array]:
        current = self._feed.current()
        if current is None:
            nothing = np.zeros(len(offsets), bool)
            return nothing, nothing
        return current.delivered(range_id, offsets, size_bytes)

    def held_out(self, range_id: int, records: Encoded) -> None:
        current = self._feed.current()
        if current is not None:
            current.held_out(range_id, records)


class _Pump:
    """A thread that iterates the dataset once, for one round."""

    def __init__(self, dataset: tf.data.Dataset, current: Round, device: str | None) -> None:
        self._round = current
        self._device = device
        self.items: queue.Queue[Item] = queue.Queue(QUEUE_BATCHES)
        self._stopped = threading.Event()
        threading.Thread(target=self._run, args=(dataset,), name="pump", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, dataset: tf.data.Dataset) -> None:
        end: Item = RoundEnded()
        try:
            for raw in dataset:
                self._put(_to_batch(raw, self._device))
                if self._stopped.is_set():
                    return
        except tf.errors.OpError as error:
            # The iterator goes with this block, and that waits for the generator, which may wait for new records.
            self._round.stop()
            end = RoundFailed(sentence(error))
        self._put(end)

    def _put(self, item: Item) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self.items.put(item, timeout=0.1)
                return


def _to_batch(raw: Any, device: str | None) -> Batch:
    """Images and targets stay tensors; the book-keeping becomes numpy.

    tf.data's own prefetch_to_device takes whole elements, and strings can't be copied to a GPU.
    """
    seen = raw[:2]
    if device is not None:
        with tf.device(device):
            seen = [tf.identity(tensor) for tensor in seen]
    return Batch._make([*seen, *(t.numpy() for t in raw[2:6]), Rejected._make(t.numpy() for t in raw[6])])
