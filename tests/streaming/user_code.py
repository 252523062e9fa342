"""What users name in their settings: models, a parser, a preprocessing; and what doesn't work."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from streaming.records.sample import Reject, Sample
from streaming.settings import Settings

POISON = 250  # a picture that is this bright all over gives a loss that is not finite
CONSTANT = 3


def masks(settings: Settings) -> keras.Model:
    """images -> logits [B, S, S, C], with batch normalisation, and a loss of NaN for a poisoned picture."""
    size = settings.pipeline.image_size
    images = keras.Input((size, size, 3), dtype="uint8")
    x = layers.Conv2D(4, 3, padding="same")(layers.Rescaling(1 / 255)(images))
    x = layers.BatchNormalization()(x)
    logits = layers.Conv2D(settings.model.classes, 1, dtype="float32")(x)
    bright = tf_poison(images)
    model = keras.Model(images, layers.Add()([logits, bright]))
    model.compile(keras.optimizers.Adam(settings.model.learning_rate), _loss(), jit_compile=settings.model.jit_compile)
    return model


def tf_poison(images: keras.KerasTensor) -> keras.KerasTensor:
    """[B, 1, 1, 1] of 0, or NaN where a picture is poisoned."""
    lowest = keras.ops.min(images, axis=(1, 2, 3), keepdims=True)
    return keras.ops.where(keras.ops.cast(lowest, "float32") >= POISON, float("nan"), 0.0)


def labels(settings: Settings) -> keras.Model:
    """images -> logits [B, C]."""
    size = settings.pipeline.image_size
    stack = [
        keras.Input((size, size, 3), dtype="uint8"),
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(settings.model.classes),
    ]
    model = keras.Sequential(stack)
    model.compile("sgd", _loss(), metrics=["accuracy"])
    return model


class Subclassed(keras.Model):
    """Layers that wait for a first call, and a train_step of its own."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.steps = self.add_weight(name="own_steps", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.hidden = layers.Conv2D(4, 3, padding="same")
        self.head = layers.Conv2D(classes, 1)

    def call(self, images: Any) -> Any:
        return self.head(self.hidden(keras.ops.cast(images, "float32") / 255))

    def train_step(self, data: Any) -> dict[str, Any]:
        images, targets = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=targets, y_pred=self(images, training=True))
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_variables), self.trainable_variables, strict=True)
        )
        self.steps.assign_add(1)
        return {"loss": loss, "constant": CONSTANT}


def subclassed(settings: Settings) -> keras.Model:
    model = Subclassed(settings.model.classes)
    model.compile("sgd", _loss())
    return model


class Normalised(Subclassed):
    """Batch normalisation sees the poison before the loss does, so its moving values would keep it."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.normalisation = layers.BatchNormalization()

    def call(self, images: Any, training: bool = False) -> Any:
        x = self.hidden(keras.ops.cast(images, "float32") / 255) + tf_poison(images)
        return self.head(self.normalisation(x, training=training))


def normalised(settings: Settings) -> keras.Model:
    model = Normalised(settings.model.classes)
    model.compile(keras.optimizers.Adam(0.01), _loss())
    return model


class Looking(Subclassed):
    """With a table that isn't made of variables."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        keys, values = tf.range(256, dtype=tf.int64), tf.range(255, -1, -1, dtype=tf.int64)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), 0)

    def call(self, images: Any) -> Any:
        return super().call(self.table.lookup(tf.cast(images, tf.int64)))


def looking(settings: Settings) -> keras.Model:
    model = Looking(settings.model.classes)
    model.compile("sgd", _loss())
    return model


class WithoutLoss(Subclassed):
    def train_step(self, data: Any) -> dict[str, Any]:
        return {"accuracy": 1.0}


def without_loss(settings: Settings) -> keras.Model:
    model = WithoutLoss(settings.model.classes)
    model.compile("sgd", _loss())
    return model


def probable(settings: Settings) -> keras.Model:
    """images -> probabilities [B, S, S, C], under a loss that is named by its name."""
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Conv2D(settings.model.classes, 3, padding="same")])
    model.add(layers.Softmax())
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def several(settings: Settings) -> keras.Model:
    """images -> two outputs of their own names, neither of which are classes."""
    size = settings.pipeline.image_size
    images = keras.Input((size, size, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(images)
    model = keras.Model(images, {"depth": layers.Conv2D(1, 1)(x), "mean": layers.GlobalAveragePooling2D()(x)})
    model.compile("sgd", {"depth": "mse", "mean": "mse"})
    return model


def doubtful(settings: Settings) -> keras.Model:
    """A loss that doesn't say what it takes the output for."""
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Conv2D(settings.model.classes, 3, padding="same")])
    model.compile("sgd", lambda truth, guess: keras.ops.mean(guess))
    return model


def uncompiled(settings: Settings) -> keras.Model:
    return keras.Sequential([layers.Dense(3)])


def no_model(settings: Settings) -> str:
    return "a model"


def raising(settings: Settings) -> keras.Model:
    raise RuntimeError("no weights at\n/models")


def fixed_size(settings: Settings) -> keras.Model:
    model = keras.Sequential([keras.Input((7, 7, 3)), layers.Flatten(), layers.Dense(7 * 7), layers.Reshape((7, 7, 1))])
    model.compile("sgd", _loss())
    return model


def parse(value: bytes, key: bytes) -> Sample | Reject:
    """One byte: the level of a whole picture; key: anything."""
    if len(value) != 1:
        return Reject("not_one_byte", f"{len(value)} bytes")
    picture = np.full((8, 8, 3), value[0], np.uint8)
    return Sample(picture, np.full((8, 8), value[0] % 3, np.uint8))


def invert(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A preprocessing whose output tells that it has seen a whole batch."""
    size = tf.shape(images)[0]
    return tf.cast(255 - tf.cast(images, tf.int32), tf.float32), tf.fill(
        tf.shape(targets), tf.cast(size, targets.dtype)
    )


def crop(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return images[:, 1:], targets


def broken(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    raise RuntimeError("no such table")


NOT_A_FUNCTION = 7


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
