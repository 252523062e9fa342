"""A step that float16's loss scaling skips leaves no trace but the smaller scale, and one that fails not even that."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from streaming.arrays import Array
from streaming.settings import Settings, parse_settings
from streaming.training.trainer import Trainer, build_model

pytestmark = pytest.mark.tf
SIZE, BATCH, CLASSES = 8, 4, 3
TOO_LARGE = 2.0**30  # Keras begins at 2 ** 15


class Counting(keras.Model):
    """Everything that moves in a forward pass: averages, a seed, and a count of its own of the records it has seen.

    The logits are multiplied by the length of the features. Of a black picture it is 0, where a square root has no
    gradient: the loss is finite, the gradients are NaN.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.records = self.add_weight(name="records", shape=(), dtype="int32", initializer="zeros", trainable=False)
        self.hidden = layers.Conv2D(4, 3, padding="same", use_bias=False)
        self.normalisation = layers.BatchNormalization()
        self.dropout = layers.Dropout(0.25)
        self.head = layers.Conv2D(classes, 1, dtype="float32")

    def call(self, images: Any, training: bool = False) -> Any:
        x = keras.ops.cast(self.hidden(keras.ops.cast(images, self.compute_dtype) / 255), "float32")
        length = keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=(1, 2, 3), keepdims=True))
        return self.head(self.dropout(self.normalisation(x, training=training), training=training)) * length

    def train_step(self, data: Any) -> dict[str, Any]:
        images, targets = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=targets, y_pred=self(images, training=True))
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.records.assign_add(tf.shape(images)[0])
        return {"loss": loss}


def counting(settings: Settings) -> keras.Model:
    model = Counting(settings.model.classes)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def accumulating(settings: Settings) -> keras.Model:
    """Its weights move, and its optimizer counts, at every second step."""
    model = Counting(settings.model.classes)
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def trainer(scale: float, build: str = "counting", *, jit_compile: bool = False) -> Trainer:
    """A float16 model whose loss scaling begins at the scale."""
    settings = parse_settings(
        {
            "pipeline": {"image_size": SIZE, "batch_size": BATCH, "seed": 3},
            "model": {
                "build": f"tests.streaming.training.test_loss_scaling:{build}",
                "classes": CLASSES,
                "mixed_precision": "mixed_float16",
                "jit_compile": jit_compile,
            },
        }
    )
    built = Trainer(build_model(settings), settings)
    state = built.state()
    (name,) = [name for name in state if name.endswith("dynamic_scale")]
    built.load(state | {name: np.float32(scale)})
    return built


def batch(seed: int = 0) -> tuple[Array, Array]:
    images = np.random.default_rng(seed).integers(0, 240, (BATCH, SIZE, SIZE, 3)).astype(np.uint8)
    return images, (images[..., 0] // 81).astype(np.uint8)


def changed(before: dict[str, Array], after: dict[str, Array]) -> list[str]:
    """Names of all variables that differ, bit by bit."""
    assert before.keys() == after.keys()
    return [name for name in before if before[name].tobytes() != after[name].tobytes()]


def only(state: dict[str, Array], end: str) -> Array:
    (value,) = [value for name, value in state.items() if name.endswith(end)]
    return value


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_step_that_is_skipped_many_times_moves_everything_once(jit_compile: bool) -> None:
    skipping = trainer(TOO_LARGE, jit_compile=jit_compile)
    before = skipping.state()
    assert skipping.step(*batch()).applied
    after = skipping.state()
    scale = float(only(after, "dynamic_scale"))
    assert scale < TOO_LARGE / 8  # several skips

    assert only(after, "records") == BATCH
    assert (only(after, "seed_generator_state") - only(before, "seed_generator_state")).tolist() == [0, 1]
    assert only(after, "adam/iteration") == only(after, "step_counter") == 1
    right = trainer(scale, jit_compile=jit_compile)
    assert right.step(*batch()).applied
    assert changed(after, right.state()) == []
    moved = changed(before, after)
    assert {"moving_mean", "moving_variance", "kernel"} < {name.rpartition("/")[2] for name in moved}

    for seed in range(1, 4):
        assert skipping.step(*batch(seed)) == right.step(*batch(seed))
    assert changed(skipping.state(), right.state()) == []
    assert only(right.state(), "records") == 4 * BATCH


@pytest.mark.parametrize("scale", [2.0**15, TOO_LARGE])
def test_gradients_that_are_nan_at_every_scale_change_nothing_the_scale_included(scale: float) -> None:
    built = trainer(scale)
    assert built.step(*batch()).applied
    before = built.state()
    assert only(before, "step_counter") == 1
    images, masks = batch(1)
    images[2] = 0
    for rows in (slice(None), slice(2, 3)):  # a batch, then its guilty record alone
        result = built.step(images[rows], masks[rows])
        assert np.isfinite(result.loss)
        assert not result.applied
        assert changed(before, built.state()) == []
    assert built.step(images[:2], masks[:2]).applied
    assert only(built.state(), "records") == BATCH + 2


def test_a_step_that_is_skipped_and_then_ends_in_infinity_keeps_the_scale() -> None:
    built = trainer(TOO_LARGE)
    built.learning_rate = float("inf")
    before = built.state()
    assert not built.step(*batch()).applied
    assert changed(before, built.state()) == []


def test_a_step_that_only_accumulates_gradients_is_not_taken_for_a_skipped_one() -> None:
    built = trainer(TOO_LARGE, "accumulating")
    for seed in range(4):
        before = built.state()
        assert built.step(*batch(seed)).applied
        assert any(name.endswith("kernel") for name in changed(before, built.state())) == bool(seed % 2)
    assert only(built.state(), "records") == 4 * BATCH
