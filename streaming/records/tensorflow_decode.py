"""TensorFlow's own decoders, for the pictures that the native ones refuse."""

import tensorflow as tf

from streaming.arrays import Array
from streaming.records.jpeg import SIGNATURE
from streaming.sentence import sentence


def decode_image(encoded: bytes) -> Array:
    """uint8[H, W, 3] from a JPEG, as far as TensorFlow can make sense of it, or a PNG.

    Raises ValueError.
    """
    decode = tf.io.decode_jpeg if encoded.startswith(SIGNATURE) else tf.io.decode_png
    try:
        image: Array = decode(encoded, channels=3).numpy()
    except tf.errors.OpError as error:
        raise ValueError(sentence(error)) from error
    return image
