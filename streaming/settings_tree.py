"""The settings' tree as a list of dotted names, and the tree again with some of them changed. Pure."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr

from streaming.settings import Applies, Settings, parse_settings, revealed

MASK = "********"
Value = float | str


class Leaf(NamedTuple):
    """One setting. name: dotted, as in `kafka.topic`; value: as the tree holds it."""

    name: str
    value: Any
    applies: Applies
    description: str

    @property
    def secret(self) -> bool:
        """Whether there is something in it that nobody may see."""
        return isinstance(self.value, SecretStr)


def leaves(settings: BaseModel, prefix: str = "") -> Iterator[Leaf]:
    """Every setting, in the tree's order."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            extra = field.json_schema_extra
            applies: Any = extra["applies"] if isinstance(extra, dict) else "restart"
            yield Leaf(f"{prefix}{name}", value, applies, field.description or "")


def values_of(settings: Settings, applies: Applies) -> dict[str, Any]:
    """Those that apply so, by name, as JSON values; no such setting is a secret."""
    tree = revealed(settings)
    return {leaf.name: at(tree, leaf.name) for leaf in leaves(settings) if leaf.applies == applies}


def at(tree: object, name: str) -> Any:
    """What stands at a dotted name of a nested tree; None where there is nothing."""
    for part in name.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def replaced(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The same with other values, by dotted name. Raises SettingsError: one line naming the setting."""
    tree = revealed(settings)
    for name, value in values.items():
        *groups, leaf = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[leaf] = value
    return parse_settings(tree)


APPLIES: dict[str, Applies] = {leaf.name: leaf.applies for leaf in leaves(Settings())}
LIVE = tuple(name for name, applies in APPLIES.items() if applies == "live")


def settings_digest(settings: Settings) -> str:
    """sha256 over the whole tree, secrets masked: beside what is known of it, a short one could be guessed from it."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
