"""The tf.data chain of one round: ranges in, decoded batches out.

ranges -> map(read a whole range) -> unbatch -> shuffle raw bytes -> batch -> map(decode + augment) -> prefetch
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from streaming.arrays import Array
from streaming.crash_slot import Noting, unnoted
from streaming.errors import UserCodeError
from streaming.records.augment import flip_half, stateless_hash
from streaming.records.batch import Batch, Encoded, Rejected
from streaming.records.decode import Decoder, Limits, Room
from streaming.records.sample import Reject
from streaming.sentence import sentence

READ_PARALLEL = 2  # ranges open at once: more doesn't read faster on 2 to 8 cores, and each holds 7 threads
NICE = 10
POOL_THREADS = 8  # blocked reads must not starve decode

Preprocess = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Fetched(NamedTuple):
    """What a range delivered, N rows. value, key: string[N]; offset: int64[N], ascending, -1 for nothing;
    timestamp_ms: int64[N], -1 = unknown; envelope: string[N] (see `records/original.py`), b"" = unknown."""

    value: tf.Tensor
    key: tf.Tensor
    offset: tf.Tensor
    timestamp_ms: tf.Tensor
    envelope: tf.Tensor


class RangeReader(Protocol):
    """Reads one half-open range as graph operations, inside Dataset.map."""

    def __call__(self, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Fetched:
        """partition, start, stop: int64 scalars; what lies outside [start, stop) is the caller's to drop."""


class Intake(Protocol):
    """Told, on tf.data's threads, what a range delivered."""

    def delivered(self, range_id: int, offsets: Array, size_bytes: int) -> tuple[Array, Array]:
        """offsets: int64[N], ascending, -1 for nothing; size_bytes: of all values.
        Returns two bool[N]: to be trained, to be held out; neither = drop."""

    def held_out(self, range_id: int, records: Encoded) -> None:
        """The records of the second mask."""


class ChainOptions(NamedTuple):
    """decode_threads: parallel decode calls; augment: the default one; in_order: no shuffling, ranges one by one."""

    batch_size: int
    shuffle_buffer: int
    decode_threads: int
    seed: int
    augment: bool
    preprocess: Preprocess | None
    in_order: bool = False


class BatchDecoder:
    """Decodes and augments a whole batch in one call. noting: told which record it is at."""

    def __init__(self, decoder: Decoder, options: ChainOptions, noting: Noting = unnoted) -> None:
        self._decoder = decoder
        self._options = options
        self._noting = noting

    @property
    def limits(self) -> Limits:
        return self._decoder.limits

    def __call__(self, value: Array, key: Array, envelope: Array, numbers: Array) -> Batch:
        """value, key, envelope: bytes objects [B]; numbers: int64[B, 4], partition, offset, range id and timestamp.
        Never raises for a bad record."""
        partition, offset, range_id, timestamp_ms = numbers.T
        size, labels, count = self.limits.image_size, self.limits.labels, len(offset)
        images = np.empty((count, size, size, 3), np.uint8)
        targets = np.empty(count, np.int64) if labels else np.empty((count, size, size), np.uint8)
        times = timestamp_ms.copy()
        kept: list[int] = []
        out: list[int] = []
        rejects: list[Reject] = []
        with self._noting(partition, offset) as at:
            for row, (one, its_key) in enumerate(zip(value, key, strict=True)):
                at(row)
                place = len(kept)
                result = self._decoder(one, its_key, Room(images[place], None if labels else targets[place]))
                if isinstance(result, Reject):
                    out.append(row)
                    rejects.append(result)
                    continue
                kept.append(row)
                if labels:
                    targets[place] = result.target
                if result.event_time_ms is not None:
                    times[row] = result.event_time_ms
        images, targets = images[: len(kept)], targets[: len(kept)]
        if self._options.augment:
            flip_half(images, targets, stateless_hash(self._options.seed, partition[kept], offset[kept]))
        known = [bool(envelope[row]) for row in out]  # else the value is looked up again, with all that belongs to it
        rejected = Rejected(
            partition[out],
            offset[out],
            range_id[out],
            timestamp_ms[out],
            _objects(r.reason.encode() for r in rejects),
            _objects(r.detail.encode() for r in rejects),
            _objects(value[row] if knows else b"" for row, knows in zip(out, known, strict=True)),
            _objects(key[row] if knows else b"" for row, knows in zip(out, known, strict=True)),
            envelope[out],
        )
        return Batch(images, targets, partition[kept], offset[kept], range_id[kept], times[kept], rejected)


def _objects(contents: Iterable[bytes]) -> Array:
    return np.array(list(contents), object)


def build_chain(
    ranges: Callable[[], Iterator[tuple[int, int, int, int]]],
    read: RangeReader,
    intake: Intake,
    decode: BatchDecoder,
    options: ChainOptions,
) -> tf.data.Dataset:
    """The dataset; every iteration of it is one round. ranges yields (range id, partition, start, stop).

    Raises UserCodeError when `options.preprocess` fails, or gives other shapes than it got.
    """

    def read_range(
        range_id: tf.Tensor, partition: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        value, key, offset, timestamp_ms, envelope = read(partition, start, stop)
        size_bytes = tf.reduce_sum(tf.cast(tf.strings.length(value), tf.int64))
        train, hold = tf.numpy_function(
            lambda i, o, size: intake.delivered(int(i), o, int(size)),
            [range_id, offset, size_bytes],
            [tf.bool, tf.bool],
        )
        hold.set_shape([None])
        train.set_shape([None])

        def hold_out(i: Array, *columns: Array) -> np.int64:
            intake.held_out(int(i), Encoded(*columns))
            return np.int64(len(columns[0]))

        held = [tf.boolean_mask(column, hold) for column in (offset, value, key, timestamp_ms, envelope)]
        tf.numpy_function(hold_out, [range_id, *held], tf.int64)
        # One column of four numbers: unbatch, shuffle and batch pay for every column of every record.
        same = tf.ones_like(offset)
        numbers = tf.stack([same * partition, offset, same * range_id, timestamp_ms], axis=1)
        value, key, envelope, numbers = (tf.boolean_mask(column, train) for column in (value, key, envelope, numbers))
        return value, key, envelope, numbers

    dataset = tf.data.Dataset.from_generator(ranges, output_signature=(tf.TensorSpec([], tf.int64),) * 4)
    if options.in_order:
        dataset = dataset.map(read_range).unbatch()
    else:
        dataset = dataset.map(read_range, num_parallel_calls=READ_PARALLEL, deterministic=False).unbatch()
        dataset = dataset.shuffle(options.shuffle_buffer, seed=options.seed, reshuffle_each_iteration=True)
    dataset = dataset.batch(options.batch_size)
    try:
        dataset = dataset.map(
            _decode_map(decode, options), num_parallel_calls=options.decode_threads, deterministic=options.in_order
        )
    except Exception as error:  # a user's function may raise anything while its graph is built
        if options.preprocess is None:
            raise
        raise UserCodeError(f"pipeline.preprocess: {type(error).__name__}: {sentence(error)}") from error
    # Two, never AUTOTUNE: that one grew to 64 batches after stalls, and all of them would be read again after a crash.
    dataset = dataset.prefetch(2)
    settings = tf.data.Options()
    settings.autotune.enabled = False
    settings.threading.private_threadpool_size = POOL_THREADS
    return dataset.with_options(settings)


def _decode_map(decode: BatchDecoder, options: ChainOptions) -> Callable[..., Batch]:
    target = tf.int64 if decode.limits.labels else tf.uint8
    signature = [tf.uint8, target, *[tf.int64] * 4, *[tf.int64] * 4, *[tf.string] * 5]
    size = decode.limits.image_size

    def flat(*columns: Array) -> tuple[Array, ...]:
        _yield_to_training()
        batch = decode(*columns)
        return (*batch[:-1], *batch.rejected)

    def decode_map(*columns: tf.Tensor) -> Batch:
        out = tf.numpy_function(flat, columns, signature)
        for tensor in out[2:]:
            tensor.set_shape([None])
        out[0].set_shape([None, size, size, 3])
        out[1].set_shape([None] if decode.limits.labels else [None, size, size])
        batch = Batch._make([*out[:6], Rejected._make(out[6:])])
        return batch if options.preprocess is None else _preprocessed(batch, options.preprocess, options.seed)

    return decode_map


def _yield_to_training() -> None:
    """Lower the calling thread's priority: a decoding thread that interrupts one of a step's holds up the whole step.

    Threads that it starts, such as a reader's, inherit that. Source: setpriority(2), which on Linux is per thread.
    """
    thread = threading.get_native_id()
    if os.getpriority(os.PRIO_PROCESS, thread) < NICE:
        os.setpriority(os.PRIO_PROCESS, thread, NICE)


def _preprocessed(batch: Batch, preprocess: Preprocess, seed: int) -> Batch:
    """The user's function sees whole batches, never an empty one; its seed follows the batch's first record."""

    def apply() -> tuple[tf.Tensor, tf.Tensor]:
        drawn = tf.cast(tf.stack([batch.partition[0] + (seed << 16), batch.offset[0]]) % (2**31 - 1), tf.int32)
        images, targets = preprocess(batch.images, batch.targets, drawn)
        for got, wanted in ((images, batch.images), (targets, batch.targets)):
            if not got.shape.is_compatible_with(wanted.shape):
                raise ValueError(f"gives {got.shape} where the model takes {wanted.shape}")
        return tf.cast(images, batch.images.dtype), tf.cast(targets, batch.targets.dtype)

    images, targets = tf.cond(tf.size(batch.offset) > 0, apply, lambda: (batch.images, batch.targets))
    return batch._replace(images=images, targets=targets)
