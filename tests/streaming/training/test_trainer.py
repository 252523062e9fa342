"""One step, all of it or nothing; the state comes back bit by bit; and users' models are what Keras users know."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from streaming.arrays import Array
from streaming.errors import CheckpointMismatch, UserCodeError
from streaming.hooks import load_hook
from streaming.settings import Settings, parse_settings
from streaming.training.trainer import GUESSES, Trainer, build_model, numbered
from tests.streaming.user_code import CONSTANT, POISON

pytestmark = pytest.mark.tf
SIZE, BATCH, CLASSES = 8, 4, 3


def settings(build: str | None = "masks", size: int = SIZE, **model: Any) -> Settings:
    hook = None if build is None else f"tests.streaming.user_code:{build}"
    chosen = {"build": hook, "classes": CLASSES, "width": 4, "learning_rate": 0.01} | model
    return parse_settings({"pipeline": {"image_size": size, "batch_size": BATCH, "seed": 3}, "model": chosen})


def trainer(build: str | None = "masks", size: int = SIZE, **model: Any) -> Trainer:
    chosen = settings(build, size, **model)
    return Trainer(build_model(chosen), chosen)


def batch(seed: int = 0, count: int = BATCH, size: int = SIZE) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 240, (count, size, size, 3)).astype(np.uint8)
    return images, (images[..., 0] // 81).astype(np.uint8)


def same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Bit by bit, NaN included."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def digest(state: Mapping[str, Array]) -> dict[str, str]:
    return {name: values.tobytes().hex()[:64] for name, values in state.items()}


FRESH = """
import json
from tests.streaming.training.test_trainer import digest, trainer
built = trainer(None, 16)
print(json.dumps([built.signature, digest(built.state())]))
"""


def test_names_and_initial_weights_follow_from_the_settings_alone() -> None:
    first, second = trainer(None, 16), trainer(None, 16)
    assert first.signature == second.signature
    assert same(first.state(), second.state())
    fresh = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(fresh.stdout.splitlines()[-1]) == [first.signature, digest(first.state())]


def test_another_seed_gives_other_weights_under_the_same_names() -> None:
    first = trainer()
    chosen = settings().model_copy(update={"pipeline": settings().pipeline.model_copy(update={"seed": 4})})
    second = Trainer(build_model(chosen), chosen)
    assert first.signature == second.signature
    assert not same(first.state(), second.state())


def test_a_restored_state_goes_on_bit_by_bit() -> None:
    first = trainer()
    for seed in range(3):
        assert first.step(*batch(seed)).applied
    saved = first.state()
    assert any("adam" in name and "momentum" in name for name in saved)
    second = trainer()
    second.step(*batch(9))
    second.load(saved)
    assert same(second.state(), saved)
    for seed in range(3, 6):
        assert first.step(*batch(seed)) == second.step(*batch(seed))
        assert same(first.state(), second.state())
    assert not same(first.state(), saved)


def test_the_state_is_a_copy() -> None:
    built = trainer()
    saved = built.state()
    before = {name: values.copy() for name, values in saved.items()}
    built.step(*batch())
    assert same(saved, before)


def test_a_poisoned_batch_changes_nothing() -> None:
    built = trainer()
    built.step(*batch())
    before = built.state()
    images, masks = batch(1)
    images[2] = POISON
    result = built.step(images, masks)
    assert not result.applied
    assert np.isnan(result.loss)
    assert same(built.state(), before)
    assert built.step(*batch(2)).applied
    assert all(np.isfinite(values).all() for values in built.state().values())


@pytest.mark.parametrize("rate", [float("nan"), float("inf")])
def test_a_step_that_ends_in_values_that_are_not_finite_changes_nothing(rate: float) -> None:
    built = trainer("subclassed")
    before = built.state()
    built.learning_rate = rate
    broken = built.state()
    result = built.step(*batch())
    assert np.isfinite(result.loss)
    assert not result.applied
    assert same(built.state(), broken)
    built.load(before)
    assert built.step(*batch()).applied


def test_a_mismatch_names_the_variable_and_changes_nothing() -> None:
    built = trainer()
    before = built.state()
    trained = trainer()
    trained.step(*batch())
    saved = trained.state()
    name = next(name for name in reversed(saved) if saved[name].ndim == 4)
    missing = {key: values for key, values in saved.items() if key != name}
    for broken, text in (
        (missing, f"{name} is not in the checkpoint"),
        (saved | {name: saved[name][..., :1]}, f"{name}: float32"),
        (saved | {name: saved[name].astype(np.float64)}, f"{name}: float64"),
        (saved | {"head/extra": saved[name]}, "head/extra of the checkpoint is not in the model"),
    ):
        with pytest.raises(CheckpointMismatch) as caught:
            built.load(broken)
        assert text in str(caught.value)
        assert same(built.state(), before)


def test_repeated_names_are_numbered_in_order() -> None:
    assert numbered([("a", 1), ("b", 2), ("a", 3), ("a", 4)]) == {"a": 1, "b": 2, "a#2": 3, "a#3": 4}


def test_short_batches_share_one_trace() -> None:
    built = trainer()
    built.compile()
    for count in (BATCH, 1, 2, 3, BATCH):
        assert built.step(*batch(count, count)).applied
        built.score(*batch(count, count))
    assert built._step.experimental_get_tracing_count() == 1
    assert built._score.experimental_get_tracing_count() == 1


def test_short_batches_never_reach_the_xla_compiled_step() -> None:
    built = trainer(jit_compile=True)
    for count in (BATCH, 1, 2, 3, BATCH):
        assert built.step(*batch(count, count)).applied
    assert built._compiled_step.experimental_get_tracing_count() == 1
    assert built._step.experimental_get_tracing_count() == 1


def test_the_learning_rate_can_be_read_and_changed() -> None:
    built = trainer()
    assert built.learning_rate == pytest.approx(0.01)
    built.learning_rate = 0.5
    before = built.state()
    built.step(*batch())
    assert built.learning_rate == 0.5
    assert not same(built.state(), before)


def test_the_score_agrees_with_a_count_by_hand_and_changes_nothing() -> None:
    built = trainer()
    images, masks = batch()
    masks[0, :3] = 255
    before = built.state()
    scored = built.score(images, masks)
    logits = built.model(images, training=False).numpy().astype(np.float64)
    expected = np.zeros((CLASSES, CLASSES), int)
    np.add.at(expected, (masks[masks != 255], logits.argmax(-1)[masks != 255]), 1)
    assert scored.confusion is not None
    assert (scored.confusion == expected).all()
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    odds /= odds.sum(-1, keepdims=True)
    known = masks != 255
    likelihood = np.take_along_axis(odds, np.where(known, masks, 0)[..., None].astype(int), -1)[..., 0]
    assert scored.loss == pytest.approx(-np.log(likelihood[known]).mean(), rel=1e-4)
    assert scored.guesses is not None
    assert (scored.guesses == logits.argmax(-1)[:GUESSES]).all()
    assert same(built.state(), before)


def test_a_model_of_labels_learns_from_numbers() -> None:
    built = trainer("labels")
    assert built.labels
    built.compile()
    images, _ = batch()
    labels = np.array([0, 1, 2, 1])
    assert built.step(images, labels).applied
    assert built.step(images[:1], labels[:1]).applied
    scored = built.score(images, labels)
    confusion, guesses = scored.confusion, scored.guesses
    assert guesses is not None
    assert (guesses == built.model(images, training=False).numpy().argmax(-1)).all()
    assert confusion is not None
    assert confusion.sum(1).tolist() == [1, 2, 1]


def test_a_users_own_train_step_is_the_one_that_is_taken() -> None:
    built = trainer("subclassed")
    assert not built.labels
    built.compile()
    assert {"own_steps"} < {name.rpartition("/")[2] for name in built.state()}
    assert len([name for name in built.state() if "kernel" in name]) >= 2
    assert CONSTANT
    first = built.step(*batch())
    losses = [built.step(*batch()).loss for _ in range(20)]
    assert losses[-1] < first.loss
    own = next(values for name, values in built.state().items() if name.endswith("own_steps"))
    assert own == 21
    confusion = built.score(*batch()).confusion
    assert confusion is not None
    assert confusion.sum() == BATCH * SIZE * SIZE


def test_a_users_subclassed_model_is_restored_bit_by_bit() -> None:
    first = trainer("subclassed")
    first.step(*batch())
    second = trainer("subclassed")
    second.load(first.state())
    assert same(first.state(), second.state())


@pytest.mark.parametrize(("policy", "build"), [("mixed_bfloat16", None), ("mixed_float16", "masks")])
def test_mixed_precision_keeps_its_variables_in_float32(policy: str, build: str | None) -> None:
    built = trainer(build, 16, mixed_precision=policy)
    losses = [built.step(*batch(0, size=16)).loss for _ in range(8)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert {values.dtype.name for values in built.state().values()} <= {"float32", "int32", "int64", "uint32"}
    assert keras.config.dtype_policy().name == policy


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        ("tests.streaming.no_such_module:build", "ModuleNotFoundError"),
        ("tests.streaming.user_code:no_such_function", "AttributeError"),
        ("tests.streaming.user_code:NOT_A_FUNCTION", "not a function"),
        ("tests.streaming.user_code:uncompiled", "returned Sequential, not a compiled keras.Model"),
        ("tests.streaming.user_code:no_model", "returned str, not a compiled keras.Model"),
        ("tests.streaming.user_code:raising", "RuntimeError: no weights at"),
        ("tests.streaming.user_code:fixed_size", "the model fails on a picture: ValueError: "),
        ("tests.streaming.user_code:without_loss", "its training step fails: KeyError: 'loss'"),
    ],
)
def test_a_model_hook_that_can_not_work_is_told_in_one_line(hook: str, text: str) -> None:
    chosen = settings().model_copy(update={"model": settings().model.model_copy(update={"build": hook})})
    with pytest.raises(UserCodeError) as caught:
        Trainer(build_model(chosen), chosen).compile()
    assert str(caught.value).startswith(f"model.build = {hook}: ")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hook_is_loaded_by_its_name() -> None:
    assert load_hook("tests.streaming.user_code:parse", "records.parse")(b"\x05", b"").target[0, 0] == 2
    with pytest.raises(UserCodeError, match=r"^records\.parse = nowhere:parse: ModuleNotFoundError"):
        load_hook("nowhere:parse", "records.parse")


def test_batches_may_be_tensors() -> None:
    built = trainer()
    images, masks = batch()
    assert built.step(tf.constant(images), tf.constant(masks)).applied
