"""What of saved variables goes into a changed model, by names, shapes and dtypes alone."""

import numpy as np
import pytest

from streaming.arrays import Array
from streaming.errors import CheckpointMismatch
from streaming.fitting import adapt, refuse_misfits, shape_of

OPTIMIZER = {"adam/iteration", "adam/learning_rate", "adam/body_kernel_momentum", "adam/head_kernel_momentum"}


def variables(value: float, classes: int) -> dict[str, Array]:
    """Of a model with a body and a head, trained by Adam."""
    return {
        "body/kernel": np.full((3, 2), value, np.float32),
        "head/kernel": np.full((2, classes), value, np.float32),
        "adam/iteration": np.array(int(value), np.int64),
        "adam/learning_rate": np.array(value, np.float32),
        "adam/body_kernel_momentum": np.full((3, 2), value, np.float32),
        "adam/head_kernel_momentum": np.full((2, classes), value, np.float32),
    }


def anew(init: list[str], built: dict[str, Array], optimizer: set[str], *, reset: bool = False) -> list[str]:
    """What begins anew; the rest is the checkpoint's, bit by bit."""
    saved = variables(7, classes=3)
    adapted = adapt(saved, built, optimizer, init, reset)
    assert adapted.state.keys() == built.keys()
    for name, values in adapted.state.items():
        wanted = built[name] if name in adapted.fresh else saved[name]
        assert shape_of(values) == shape_of(built[name])
        assert (values == wanted).all()
    return adapted.fresh


def test_head_begins_anew_with_what_the_optimizer_kept_for_it() -> None:
    fresh = anew(["head/*"], variables(1, classes=4), OPTIMIZER)
    assert fresh == ["adam/head_kernel_momentum", "head/kernel"]


def test_model_that_has_not_changed_takes_all() -> None:
    assert anew([], variables(1, classes=3), OPTIMIZER) == []


def test_optimizer_of_another_kind_is_reset_as_a_whole() -> None:
    built = {n: v for n, v in variables(1, classes=3).items() if n not in OPTIMIZER} | {"sgd/iteration": np.array(0)}
    with pytest.raises(CheckpointMismatch, match="sgd/iteration is not in the checkpoint"):
        anew([], built, {"sgd/iteration"})
    assert anew([], built, {"sgd/iteration"}, reset=True) == ["sgd/iteration"]


def test_layer_that_is_no_more_is_left_behind_by_its_name() -> None:
    built = {name: values for name, values in variables(1, classes=3).items() if "head" not in name}
    with pytest.raises(CheckpointMismatch, match="head/kernel of the checkpoint is not in the model"):
        anew([], built, OPTIMIZER & built.keys())
    assert anew(["head/*"], built, OPTIMIZER & built.keys()) == []


@pytest.mark.parametrize(
    ("init", "named"),
    [
        ([], r"head/kernel: float32\[2, 3\] saved, float32\[2, 4\] built"),
        (["tail/*"], "'tail/\\*' matches no variable"),
        (["body/*"], "head/kernel"),
    ],
)
def test_what_does_not_fit_is_named(init: list[str], named: str) -> None:
    with pytest.raises(CheckpointMismatch, match=named):
        anew(init, variables(1, classes=4), OPTIMIZER)


def test_more_misfits_than_fit_a_line_are_counted() -> None:
    saved = {f"layer{number}/kernel": np.zeros(2, np.float32) for number in range(9)}
    with pytest.raises(CheckpointMismatch, match=r"layer5/kernel of the checkpoint .*; and 3 more"):
        refuse_misfits(saved, {})
