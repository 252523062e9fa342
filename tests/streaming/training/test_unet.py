"""The default model: its shapes, its size, and that it learns."""

import keras
import numpy as np
import pytest

from streaming.errors import UserCodeError
from streaming.settings import Settings, parse_settings
from streaming.training.trainer import Trainer, build_model

pytestmark = pytest.mark.tf


def settings(size: int, width: int = 4, **model: object) -> Settings:
    return parse_settings({"pipeline": {"image_size": size, "batch_size": 4}, "model": {"width": width} | model})


@pytest.mark.parametrize(("size", "classes"), [(64, 3), (128, 5)])
def test_logits_have_the_pictures_size_and_a_channel_for_each_class(size: int, classes: int) -> None:
    model = build_model(settings(size, classes=classes))
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, size, size, classes)
    logits = model(np.full((2, size, size, 3), 255, np.uint8), training=False)
    assert logits.dtype == "float32"
    assert np.isfinite(logits.numpy()).all()


def test_the_default_model_keeps_its_shape_which_checkpoints_depend_on() -> None:
    model = build_model(parse_settings({}))
    assert model.input_shape == (None, 128, 128, 3)
    assert model.count_params() == 344_979


def test_a_larger_picture_gets_a_deeper_model() -> None:
    depths = [len(build_model(settings(size)).layers) for size in (16, 64, 128)]
    assert depths == sorted(depths)
    assert len(set(depths)) == 3


@pytest.mark.parametrize("size", [100, 127])
def test_a_size_that_does_not_halve_evenly_is_refused_by_name(size: int) -> None:
    with pytest.raises(UserCodeError, match=rf"pipeline\.image_size {size}: the default model needs a multiple of \d+"):
        build_model(settings(size))


def test_every_dtype_inside_follows_the_policy_but_the_logits() -> None:
    model = build_model(settings(16, mixed_precision="mixed_bfloat16"))
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    keras.config.set_dtype_policy("float32")


def test_the_loss_falls_on_a_constant_batch() -> None:
    chosen = settings(16, learning_rate=0.01)
    trainer = Trainer(build_model(chosen), chosen)
    images, masks = np.full((4, 16, 16, 3), 30, np.uint8), np.zeros((4, 16, 16), np.uint8)
    images[:, 8:, :, 1], masks[:, 8:] = 220, 2
    losses = [trainer.step(images, masks).loss for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_ignored_pixels_have_no_part_in_the_loss() -> None:
    chosen = settings(16)
    trainer = Trainer(build_model(chosen), chosen)
    images = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
    masks = np.full((2, 16, 16), 255, np.uint8)
    masks[:, :8] = 1
    scored = trainer.score(images, masks)
    assert scored.confusion is not None
    assert scored.confusion.sum() == 2 * 8 * 16
    unlabelled = trainer.score(images, np.full_like(masks, 255))
    assert np.isfinite(unlabelled.loss)
    assert trainer.step(images, np.full_like(masks, 255)).applied
