"""Whether saved variables fit a model, and what of them goes into a changed one. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from streaming.arrays import Array
from streaming.errors import CheckpointMismatch

MOST_NAMED = 6
_NUMBER = re.compile(r"#\d+$")
_COUNTS = ("iteration", "iterations", "step_counter")  # what Keras' optimizers count their steps in


class Shape(NamedTuple):
    """What a variable's values must be like."""

    dtype: "np.dtype[np.generic]"
    sides: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.sides)}"


class Adapted(NamedTuple):
    """state: all variables of the changed model; fresh: those of them that begin anew."""

    state: dict[str, Array]
    fresh: list[str]


def shape_of(values: Array) -> Shape:
    return Shape(values.dtype, values.shape)


def refuse_misfits(saved: Mapping[str, Array], built: Mapping[str, Shape]) -> None:
    """Every variable by its name: none is missing, foreign, or of another shape or type.

    Raises CheckpointMismatch naming the first ones that don't fit.
    """
    _refuse([*_unlike(saved, built), *_foreign(saved, built)])


def adapt(
    saved: Mapping[str, Array],
    built: Mapping[str, Array],
    optimizer: Collection[str],
    init: Sequence[str],
    reset_optimizer: bool,
) -> Adapted:
    """The saved variables in a model that has been changed since.

    built: its variables, with their first values. optimizer: which of them are its optimizer's. What a pattern of
    `init` matches (`*`, `?`, `[…]`) begins anew, or is left behind if the model has it no more; so do the optimizer's
    variables that belong to it, and with `reset_optimizer` all of these. The rest has to fit.

    Raises CheckpointMismatch naming what doesn't, or a pattern that matches nothing.
    """
    names = saved.keys() | built.keys()
    for pattern in init:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise CheckpointMismatch(f"{pattern!r} matches no variable, of the checkpoint or of the model")
    chosen = {name for name in names if any(fnmatchcase(name, pattern) for pattern in init)}
    groups = {_group(name) for name in optimizer} | {_group(name) for name in saved if _counts_steps(name, saved)}
    slots = {name for name in names if _group(name) in groups}
    models = {_NUMBER.sub("", name).replace("/", "_"): name for name in names - slots}
    anew = chosen | {name for name in slots if reset_optimizer or _owner(name, models) in chosen}
    kept = {name: values for name, values in saved.items() if name not in anew}
    wanted = {name: shape_of(values) for name, values in built.items() if name not in anew}
    _refuse([*_unlike(kept, wanted), *_foreign(kept, wanted)])
    state = {name: values if name in anew else kept[name] for name, values in built.items()}
    return Adapted(state, sorted(anew & built.keys()))


def _refuse(found: Sequence[str]) -> None:
    if found:
        more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        raise CheckpointMismatch("; ".join(found[:MOST_NAMED]) + more)


def _unlike(saved: Mapping[str, Array], built: Mapping[str, Shape]) -> Iterator[str]:
    for name, wanted in built.items():
        if name not in saved:
            yield f"variable {name} is not in the checkpoint; was the model changed?"
        elif (have := shape_of(saved[name])) != wanted:
            yield f"variable {name}: {have} saved, {wanted} built"


def _foreign(saved: Mapping[str, Array], built: Mapping[str, Shape]) -> Iterator[str]:
    return (f"variable {name} of the checkpoint is not in the model" for name in sorted(saved.keys() - built.keys()))


def _group(name: str) -> str:
    return name.partition("/")[0]


def _counts_steps(name: str, saved: Mapping[str, Array]) -> bool:
    """A variable that only an optimizer has; the checkpoint's may be of another kind than the model's now."""
    _, _, last = name.partition("/")
    return last in _COUNTS and saved[name].shape == () and saved[name].dtype.kind in "iu"


def _owner(slot: str, models: Mapping[str, str]) -> str | None:
    """The model's variable for which an optimizer keeps this one: Keras calls it `<optimizer>/<path with _>_<kind>`.

    models: by their path with `_`.
    """
    rest = _NUMBER.sub("", slot.partition("/")[2])
    while (cut := rest.rfind("_")) > 0:
        rest = rest[:cut]
        if rest in models:
            return models[rest]
    return None
