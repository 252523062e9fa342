"""Settings that count from the beginning of a training: a checkpoint remembers them, and a change is told."""

from collections.abc import Mapping
from typing import Any

from streaming.settings import Settings
from streaming.settings_tree import replaced, values_of

# The rest fails with a sentence of its own when it is changed, or belongs to another training.
HELD = ("kafka.start", "pipeline.seed", "evaluation.fraction")


def new_run_values(settings: Settings) -> dict[str, Any]:
    """Those that apply to a new run only, by their dotted names, as JSON values; none of them is a secret."""
    return values_of(settings, "new run")


def changed(before: Mapping[str, Any], settings: Settings) -> dict[str, tuple[Any, Any]]:
    """What differs from a checkpoint's: name -> (there, now). What the checkpoint doesn't know hasn't changed."""
    now = new_run_values(settings)
    return {name: (before[name], now[name]) for name in sorted(before.keys() & now.keys()) if before[name] != now[name]}


def held_to(before: Mapping[str, Any], settings: Settings) -> Settings:
    """The settings with what this training began with wherever a change would be quietly wrong."""
    return replaced(settings, {name: value for name, (value, _) in changed(before, settings).items() if name in HELD})
