"""Every setting as people and scripts see it: its value, who gave it, and when a change applies."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from streaming.settings import Applies, Settings
from streaming.settings_sources import Given, Origins, Source
from streaming.settings_tree import MASK, leaves

Shown = bool | int | float | str | None


class Row(NamedTuple):
    """One setting. value: a secret's is masked. overridden: what others gave, and doesn't hold; the first of them
    would. ignored: why the value changes nothing; None: it holds."""

    name: str
    value: Shown
    source: Source
    applies: Applies
    description: str
    ignored: str | None
    overridden: tuple[Given, ...]


def rows(settings: Settings, origins: Origins, ignored: Mapping[str, str]) -> list[Row]:
    """In the tree's order."""
    found = []
    for leaf in leaves(settings):
        given = origins.get(leaf.name, ())
        source: Source = given[0].source if given else "default"
        value = MASK if leaf.secret else leaf.value
        shown = str(value) if isinstance(value, Path) else value
        why = ignored.get(leaf.name)
        found.append(Row(leaf.name, shown, source, leaf.applies, leaf.description, why, given[1:]))
    return found


def overlaid(origins: Origins, patched: Mapping[str, float | str]) -> Origins:
    """With the values that were set over HTTP, which win over all others."""
    on_top = {name: (Given("api", str(value)), *origins.get(name, ())) for name, value in patched.items()}
    return {**origins, **on_top}
