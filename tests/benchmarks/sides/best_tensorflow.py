"""The best of several attempts with TensorFlow's own operations alone, for records of full size.

JPEGs of about 500 x 375 decoded to half of that without smoothing the chroma, records parsed a batch at a time, bytes
as they are, one decoding call a core and one more, a short prefetch; no option of tf.data gave more.
"""

import os
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from streaming.settings_sources import load_settings
from tests.benchmarks.plain_chain import FEATURES, from_kafka
from tests.benchmarks.sides.side import cores, serve
from tests.benchmarks.topics import lengths

AHEAD_BATCHES = 2


def main() -> None:
    settings = load_settings()
    kafka, pipeline = settings.kafka, settings.pipeline
    values = from_kafka(kafka.bootstrap_servers, kafka.topic, lengths(kafka), "bench").repeat()
    values = values.shuffle(pipeline.shuffle_buffer).batch(pipeline.batch_size, drop_remainder=True)
    size = pipeline.image_size
    chain = values.map(lambda batch: decoded(batch, size), num_parallel_calls=cores() + 1, deterministic=False)

    def batches() -> Iterator[int]:
        for images, _ in chain.prefetch(AHEAD_BATCHES):
            yield len(images)

    ahead = (cores() + 1 + AHEAD_BATCHES) * pipeline.batch_size
    serve(batches(), pipeline.shuffle_buffer + ahead)


def decoded(values: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """string[B] -> images uint8[B, S, S, 3], masks uint8[B, S, S, 1]; half of the records are mirrored."""
    examples = tf.io.parse_example(values, FEATURES)

    def one(columns: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(columns[0], channels=3, ratio=2, fancy_upscaling=False, dct_method="INTEGER_FAST")
        mask = tf.io.decode_png(columns[1], channels=1)
        image = tf.image.resize(image, (size, size))
        mask = tf.image.resize(mask, (size, size), method=tf.image.ResizeMethod.NEAREST_NEIGHBOR)
        if tf.random.uniform(()) > 0.5:
            image, mask = tf.reverse(image, [1]), tf.reverse(mask, [1])
        return tf.cast(image, tf.uint8), mask

    columns = tuple(examples[name] for name in FEATURES)
    return tf.map_fn(one, columns, fn_output_signature=(tf.uint8, tf.uint8), parallel_iterations=1)


if __name__ == "__main__":
    main()
