"""A model with other classes begins with what the checkpoint knows of its other layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming.adapting import adapt_file
from streaming.arrays import Array
from streaming.checkpoints.store import MODEL_FILE
from streaming.checkpoints.weights import encode, read_weights
from streaming.control.errands import Adapt, Adapted
from streaming.errors import CheckpointMismatch
from streaming.settings import Settings, parse_settings
from streaming.training.trainer import Trainer, build_model

pytestmark = pytest.mark.tf
SIZE = 32


def settings(**model: Any) -> Settings:
    tree = {"pipeline": {"image_size": SIZE, "batch_size": 2, "seed": 3}, "model": {"width": 4} | model}
    return parse_settings(tree)


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Array]:
    """Of a model of three classes that are nobody's first ones; their file is there."""
    first = Trainer(build_model(settings(classes=3)), settings(classes=3)).state()
    state = {name: values + np.ones_like(values) for name, values in first.items()}
    (tmp_path / MODEL_FILE).write_bytes(encode(state))
    return state


def adapted(folder: Path, chosen: Settings, *init: str, reset: bool = False) -> tuple[Adapted, dict[str, Array]]:
    """What is told, and the file, which the changed model takes."""
    file = folder / "adapted"
    wanted = Adapt(weights=str(folder / MODEL_FILE), file=str(file), init=list(init), reset_optimizer=reset)
    told = adapt_file(chosen, wanted)
    state = read_weights(file)
    trainer = Trainer(build_model(chosen), chosen)
    trainer.load(state)
    assert told.signature == trainer.signature
    return told, state


def test_another_number_of_classes_needs_a_fresh_head_alone(tmp_path: Path, saved: dict[str, Array]) -> None:
    chosen = settings(classes=4)
    with pytest.raises(CheckpointMismatch, match="variable head/"):
        adapted(tmp_path, chosen)
    told, state = adapted(tmp_path, chosen, "head/*")
    assert [name for name in told.fresh if name.startswith("head/")] == ["head/bias", "head/kernel"]
    assert all("head" in name for name in told.fresh)
    assert (told.kept, told.new_run["model.classes"]) == (len(state) - len(told.fresh), 4)
    for name in state.keys() - set(told.fresh):
        np.testing.assert_array_equal(state[name], saved[name])


def test_reset_optimizer_begins_anew_and_the_model_stays(tmp_path: Path, saved: dict[str, Array]) -> None:
    chosen = settings(classes=3)
    told, state = adapted(tmp_path, chosen, reset=True)
    trainer = Trainer(build_model(chosen), chosen)
    assert set(told.fresh) == trainer.optimizer_names()
    for name in state.keys() - set(told.fresh):
        np.testing.assert_array_equal(state[name], saved[name])
