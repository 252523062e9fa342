"""The witness model: in an int32 variable, a place for each code, it counts the records it is trained with."""

from typing import Any

import keras
import tensorflow as tf

from streaming.settings import Settings
from tests.faults.witness import CODES, POISON


class Witness(keras.Model):
    """Logits are one bias for every pixel: images uint8[B, S, S, 3] -> float32[B, S, S, C]. A step adds 1 to `counts`
    at the code of each image's first pixel, and gives NaN for a batch that holds POISON."""

    def __init__(self, classes: int) -> None:
        super().__init__(name="witness")
        self.bias = self.add_weight(shape=(classes,), initializer="zeros", name="bias")
        self.counts = self.add_weight(
            shape=(CODES,), dtype="int32", initializer="zeros", trainable=False, name="counts"
        )

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.zeros_like(images, tf.float32) + self.bias

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, Any]:
        images, masks = data
        codes = tf.reduce_sum(tf.cast(images[:, 0, 0, :], tf.int32) * [1, 1 << 8, 1 << 16], axis=1)
        self.counts.value.scatter_nd_add(codes[:, None], tf.ones_like(codes))
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=images, y=masks, y_pred=self(images, training=True))
            loss = tf.where(tf.reduce_any(codes == POISON), float("nan"), loss)
        self.optimizer.apply_gradients([(tape.gradient(loss, self.bias.value), self.bias)])
        return {"loss": loss}


def build(settings: Settings) -> keras.Model:
    """Three classes, as the images have three channels; cheap to compile."""
    model = Witness(settings.model.classes)
    model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
