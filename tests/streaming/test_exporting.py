"""A SavedModel gives what the model gives, under names that say what it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import tensorflow as tf

from streaming.arrays import Array
from streaming.checkpoints.store import MODEL_FILE
from streaming.checkpoints.weights import encode
from streaming.control.errands import Export
from streaming.errors import CheckpointMismatch, UserCodeError
from streaming.exporting import export
from streaming.settings import Settings, parse_settings
from streaming.training.trainer import Trainer, build_model
from tests.streaming.records.test_graph_decode import photo

pytestmark = pytest.mark.tf
SIZE, CLASSES = 32, 3


def settings(build: str | None = None, **model: Any) -> Settings:
    hook = None if build is None else f"tests.streaming.user_code:{build}"
    chosen = {"build": hook, "classes": CLASSES, "width": 4} | model
    return parse_settings({"pipeline": {"image_size": SIZE, "batch_size": 4, "seed": 3}, "model": chosen})


def images(seed: int, count: int = 4) -> Array:
    return np.random.default_rng(seed).integers(0, 240, (count, SIZE, SIZE, 3)).astype(np.uint8)


def exported(folder: Path, chosen: Settings, weights: Settings | None = None) -> tuple[Trainer, Any]:
    """A model of weights that are nobody's first ones, and what was exported of it, read back.

    weights: another model's.
    """
    trainer = Trainer(build_model(weights or chosen), weights or chosen)
    rng = np.random.default_rng(0)
    first = trainer.state()
    trainer.load({n: v + rng.uniform(0, 0.1, v.shape).astype(v.dtype) if v.ndim else v for n, v in first.items()})
    (folder / MODEL_FILE).write_bytes(encode(trainer.state()))
    export(chosen, Export(weights=str(folder / MODEL_FILE), directory=str(folder / "made")))
    return trainer, tf.saved_model.load(str(folder / "made")).signatures


def said(signature: Any, **inputs: Any) -> dict[str, Array]:
    return {name: value.numpy() for name, value in signature(**{k: tf.constant(v) for k, v in inputs.items()}).items()}


def variables(folder: Path) -> list[list[int]]:
    """Shapes of those exported: the model's, without its optimizer's."""
    saved = tf.train.list_variables(str(folder / "made" / "variables" / "variables"))
    return sorted(shape for name, shape in saved if name != "_CHECKPOINTABLE_OBJECT_GRAPH")


@pytest.mark.parametrize("build", ["looking", "normalised"])
def test_images_and_pictures_give_what_the_model_gives(tmp_path: Path, build: str | None) -> None:
    trainer, signatures = exported(tmp_path, settings(build))
    assert set(signatures) == {"serving_default", "serve_images"}
    given = images(7, count=5)
    wanted = tf.function(trainer.model)(given, training=False).numpy()
    found = said(signatures["serve_images"], images=given)
    assert set(found) == {"logits", "probabilities", "mask"}
    np.testing.assert_allclose(found["logits"], wanted, rtol=0, atol=0)
    np.testing.assert_allclose(found["probabilities"].sum(-1), 1, rtol=1e-6)
    assert (found["mask"].dtype, found["mask"].shape) == (np.uint8, (5, SIZE, SIZE))
    assert (found["mask"] == found["logits"].argmax(-1)).all()
    small = [photo(np.random.default_rng(n), SIZE, SIZE) for n in range(3)]
    encoded = [simplejpeg.encode_jpeg(each) for each in small]
    decoded = np.stack([simplejpeg.decode_jpeg(each) for each in encoded])
    assert variables(tmp_path) == sorted(list(each.shape) for each in trainer.model.variables if len(each.shape))
    pictures = said(signatures["serving_default"], image_bytes=encoded)
    np.testing.assert_array_equal(pictures["logits"], said(signatures["serve_images"], images=decoded)["logits"])


@pytest.mark.parametrize(
    ("build", "names"),
    [
        ("labels", {"logits": (2, CLASSES), "probabilities": (2, CLASSES), "label": (2,)}),
        ("probable", {"probabilities": (2, SIZE, SIZE, CLASSES), "mask": (2, SIZE, SIZE)}),
        ("doubtful", {"scores": (2, SIZE, SIZE, CLASSES), "mask": (2, SIZE, SIZE)}),
        ("several", {"depth": (2, SIZE, SIZE, 1), "mean": (2, 3)}),
    ],
)
def test_outputs_are_named_for_what_they_are(tmp_path: Path, build: str, names: dict[str, tuple[int, ...]]) -> None:
    _, signatures = exported(tmp_path, settings(build))
    found = said(signatures["serve_images"], images=images(1, count=2))
    assert {name: value.shape for name, value in found.items()} == names


def test_weights_of_another_model_and_a_model_that_cannot_be_traced_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="variable head/kernel"):
        exported(tmp_path, settings(classes=4), settings())
    with pytest.raises(UserCodeError, match=r"model.build = tests.streaming.user_code:raising"):
        exported(tmp_path, settings("raising"), settings("subclassed"))
