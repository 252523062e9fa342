"""What a user writes from the tutorials: one `map` of TensorFlow's own operations over single records, AUTOTUNE.

The baseline of the benchmarks, which print this file's hash. Sources: tensorflow.org's "Image segmentation" (decode,
resize, normalise, flip) and "Robust machine learning on streaming data using Kafka" (records from a topic).
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/segmentation/class/encoded": tf.io.FixedLenFeature([], tf.string),
}

Decode = Callable[[tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]


def plain_chain(
    values: tf.data.Dataset, size: int, batch_size: int, shuffle_buffer: int, decode: Decode | None = None
) -> tf.data.Dataset:
    """values: string, serialized Examples -> images float32[B, S, S, 3] in 0..1, masks uint8[B, S, S, 1].

    decode: `decoded` unless given.
    """
    decode = decode or decoded
    return (
        values.shuffle(shuffle_buffer)
        .map(lambda value: augmented(*decode(value, size)), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def decoded(value: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One record at the model's size."""
    example = tf.io.parse_single_example(value, FEATURES)
    image = tf.io.decode_jpeg(example["image/encoded"], channels=3)
    mask = tf.io.decode_png(example["image/segmentation/class/encoded"], channels=1)
    image = tf.image.resize(image, (size, size))
    mask = tf.image.resize(mask, (size, size), method=tf.image.ResizeMethod.NEAREST_NEIGHBOR)
    return tf.cast(image, tf.float32) / 255.0, mask


def raw(value: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One record of plain bytes, which have the model's size."""
    example = tf.io.parse_single_example(value, FEATURES)
    image, mask = (tf.io.decode_raw(example[name], tf.uint8) for name in FEATURES)
    return tf.cast(tf.reshape(image, (size, size, 3)), tf.float32) / 255.0, tf.reshape(mask, (size, size, 1))


def augmented(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Half of the records are mirrored."""
    if tf.random.uniform(()) > 0.5:
        image, mask = tf.image.flip_left_right(image), tf.image.flip_left_right(mask)
    return image, mask


def from_memory(values: list[bytes]) -> tf.data.Dataset:
    """The same records over and over."""
    return tf.data.Dataset.from_tensor_slices(values).repeat()


def from_kafka(servers: str, topic: str, ends: Mapping[int, int], group: str) -> tf.data.Dataset:
    """The whole topic through KafkaDataset. ends: partition -> records in it; the last offset is inclusive."""
    from tensorflow_io.kafka import KafkaDataset

    topics = [f"{topic}:{partition}:0:{end - 1}" for partition, end in ends.items()]
    return KafkaDataset(topics, servers=servers, group=group, eof=True)


def digest() -> str:
    """sha256 of this file."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
