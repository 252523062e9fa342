"""Pictures decoded and resized by TensorFlow operations, as near to `decode.py` as they come: for a graph that serves.

Both decode a JPEG straight to the fewest eighths of its size that are not too small. TensorFlow's decoder knows a half,
a quarter and an eighth, and gives the same bytes there; the others are taken from the whole picture. A resize differs
by rounding. How far apart they are is measured in `tests/streaming/records/test_graph_decode.py`.
"""

import math

import numpy as np
import tensorflow as tf

from streaming.arrays import Array
from streaming.records import png

BLOCK = 8  # pixels a side of what a JPEG transforms at once


def decode_images(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """string[B], each a JPEG or a PNG of any size -> uint8[B, size, size, 3]. What can't be decoded fails the call."""
    pixels = tf.TensorSpec([size, size, 3], tf.uint8)
    return tf.map_fn(lambda one: _resized(_decoded(one, size), size), encoded, fn_output_signature=pixels)


def _decoded(encoded: tf.Tensor, size: int) -> tf.Tensor:
    is_png = tf.equal(tf.strings.substr(encoded, 0, len(png.SIGNATURE)), png.SIGNATURE)
    return tf.cond(is_png, lambda: tf.io.decode_png(encoded, channels=3), lambda: _jpeg(encoded, size))


def _jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """uint8[H, W, 3]: the fewest eighths of the picture of which no side is shorter than `size`; else all of it."""
    sides = tf.io.extract_jpeg_shape(encoded)[:2]
    fits = [tf.reduce_all(_share(sides, eighths) >= size) for eighths in range(1, BLOCK)]
    too_few = BLOCK - 1 - tf.math.count_nonzero(fits, dtype=tf.int32)

    def at(eighths: int) -> tf.Tensor:
        ratio = BLOCK // eighths if BLOCK % eighths == 0 else 1
        whole = tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, fancy_upscaling=True, dct_method="INTEGER_ACCURATE")
        return whole if ratio * eighths == BLOCK else _scaled(whole, eighths)

    return tf.switch_case(too_few, [lambda eighths=eighths: at(eighths) for eighths in range(1, BLOCK + 1)])


def _share(sides: tf.Tensor, eighths: int) -> tf.Tensor:
    """So many eighths of lengths in pixels, rounded up as decoders do."""
    return -(-sides * eighths // BLOCK)


def _scaled(image: tf.Tensor, eighths: int) -> tf.Tensor:
    """uint8[H, W, 3] -> so many eighths of it: of each block only the lowest frequencies, as a JPEG decoder scales."""
    sides = tf.shape(image)[:2]
    blocks = -(-sides // BLOCK)
    missing = tf.pad(tf.expand_dims(BLOCK * blocks - sides, 1), [[0, 1], [1, 0]])
    whole = tf.cast(tf.pad(image, missing, mode="SYMMETRIC"), tf.float32)
    tiles = tf.reshape(whole, [blocks[0], BLOCK, blocks[1], BLOCK, 3])
    lowest = tf.constant(_lowest_frequencies(eighths), tf.float32)
    small = tf.einsum("ij,ajbkc,lk->aiblc", lowest, tiles, lowest)
    pixels = tf.reshape(small, [blocks[0] * eighths, blocks[1] * eighths, 3])
    cut = _share(sides, eighths)
    return tf.saturate_cast(tf.round(pixels[: cut[0], : cut[1]]), tf.uint8)


def _lowest_frequencies(count: int) -> Array:
    """float64[count, 8]: from eight pixels by a cosine transform to its lowest frequencies, and back to fewer."""
    return np.asarray(_cosines(count).T @ _cosines(BLOCK)[:count] * math.sqrt(count / BLOCK))


def _cosines(size: int) -> Array:
    """float64[size, size], orthonormal: the cosine transform of T.81, A.3.3, in one dimension."""
    frequency, pixel = np.mgrid[:size, :size]
    transform = np.cos(np.pi * (2 * pixel + 1) * frequency / (2 * size)) * math.sqrt(2 / size)
    transform[0] /= math.sqrt(2)
    return np.asarray(transform)


def _resized(image: tf.Tensor, size: int) -> tf.Tensor:
    """By area where a side is at least twice too long, else bilinear, as the pipeline does."""
    shrinks = tf.reduce_max(tf.shape(image)[:2]) >= 2 * size
    pixels = tf.cond(
        shrinks,
        lambda: tf.image.resize(image, [size, size], method="area"),
        lambda: tf.image.resize(image, [size, size], method="bilinear"),
    )
    return tf.cast(tf.round(tf.ensure_shape(pixels, [size, size, 3])), tf.uint8)
