"""Pictures decoded and resized by TensorFlow operations, as near to `decode.py` as they come: for a graph that serves.

Both decode a JPEG straight to an eighth, a quarter or a half of its size, to the same bytes. A resize differs by
rounding. How far apart they are is measured in `tests/streaming/records/test_graph_decode.py`.
"""

import tensorflow as tf

from streaming.records import png
from streaming.records.native import MUCH, RATIOS


def decode_images(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """string[B], each a JPEG or a PNG of any size -> uint8[B, size, size, 3]. What can't be decoded fails the call."""
    pixels = tf.TensorSpec([size, size, 3], tf.uint8)
    return tf.map_fn(lambda one: _resized(_decoded(one, size), size), encoded, fn_output_signature=pixels)


def _decoded(encoded: tf.Tensor, size: int) -> tf.Tensor:
    is_png = tf.equal(tf.strings.substr(encoded, 0, len(png.SIGNATURE)), png.SIGNATURE)
    return tf.cond(is_png, lambda: tf.io.decode_png(encoded, channels=3), lambda: _jpeg(encoded, size))


def _jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """uint8[H, W, 3]: an eighth, a quarter or a half of the picture if no side of it is shorter than `size`."""
    shortest = tf.reduce_min(tf.io.extract_jpeg_shape(encoded)[:2])
    fits = [-(-shortest // ratio) >= size for ratio in RATIOS]  # the smallest that fits is the first of them

    def at(ratio: int) -> tf.Tensor:
        return tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, fancy_upscaling=True, dct_method="INTEGER_ACCURATE")

    too_small = len(RATIOS) - tf.math.count_nonzero(fits, dtype=tf.int32)
    return tf.switch_case(too_small, [lambda ratio=ratio: at(ratio) for ratio in (*RATIOS, 1)])


def _resized(image: tf.Tensor, size: int) -> tf.Tensor:
    """By area where a side is much too long, else bilinear, as the pipeline does."""
    shrinks = tf.reduce_max(tf.shape(image)[:2]) >= MUCH * size
    pixels = tf.cond(
        shrinks,
        lambda: tf.image.resize(image, [size, size], method="area"),
        lambda: tf.image.resize(image, [size, size], method="bilinear"),
    )
    return tf.cast(tf.round(tf.ensure_shape(pixels, [size, size, 3])), tf.uint8)
