"""What a user writes from the tutorials: one `map` of TensorFlow's own operations over single records, AUTOTUNE.

The baseline of the benchmarks, which print this file's hash. Sources: tensorflow.org's "Image segmentation" (decode,
resize, normalise, flip) and "Robust machine learning on streaming data using Kafka" (records from a topic).
"""

import hashlib
from pathlib import Path

import tensorflow as tf

FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/segmentation/class/encoded": tf.io.FixedLenFeature([], tf.string),
}


def plain_chain(values: tf.data.Dataset, size: int, batch_size: int, shuffle_buffer: int) -> tf.data.Dataset:
    """values: string, serialized Examples -> images float32[B, S, S, 3] in 0..1, masks uint8[B, S, S, 1]."""
    return (
        values.shuffle(shuffle_buffer)
        .map(lambda value: augmented(*decoded(value, size)), num_parallel_calls=tf.data.AUTOTUNE)
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


def augmented(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Half of the records are mirrored."""
    if tf.random.uniform(()) > 0.5:
        image, mask = tf.image.flip_left_right(image), tf.image.flip_left_right(mask)
    return image, mask


def from_memory(values: list[bytes]) -> tf.data.Dataset:
    """The same records over and over."""
    return tf.data.Dataset.from_tensor_slices(values).repeat()


def from_kafka(servers: str, topic: str, partitions: int, group: str) -> tf.data.Dataset:
    """A whole topic through KafkaDataset, to its end."""
    from tensorflow_io.kafka import KafkaDataset

    topics = [f"{topic}:{partition}:0:-1" for partition in range(partitions)]
    return KafkaDataset(topics, servers=servers, group=group, eof=True)


def digest() -> str:
    """sha256 of this file."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
