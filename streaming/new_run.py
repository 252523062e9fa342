"""Settings that count from the beginning of a training: a checkpoint remembers them, and a change is told."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from streaming.settings import Settings, revealed


def new_run_values(settings: Settings) -> dict[str, Any]:
    """Those that apply to a new run only, by their dotted names, as JSON values; none of them is a secret."""
    return dict(_marked(settings, revealed(settings), ""))


def changed(before: Mapping[str, Any], settings: Settings) -> dict[str, tuple[Any, Any]]:
    """What differs from a checkpoint's: name -> (there, now). What the checkpoint doesn't know hasn't changed."""
    now = new_run_values(settings)
    return {name: (before[name], now[name]) for name in sorted(before.keys() & now.keys()) if before[name] != now[name]}


def _marked(group: BaseModel, values: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            found += _marked(value, values[name], f"{prefix}{name}.")
        elif isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("applies") == "new run":
            found.append((f"{prefix}{name}", values[name]))
    return found
