"""Settings as command-line flags: `--config FILE` and `--set group.name=value`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streaming.errors import SettingsError

Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file; else PENSTOCK_CONFIG names it.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="GROUP.NAME=VALUE", help="One setting; repeatable, wins over all.", show_default=False
    ),
]


def flags_tree(sets: Sequence[str], host: str | None = None, port: int | None = None) -> dict[str, Any]:
    """Flags nested like the settings' tree. Raises SettingsError for one that isn't name=value."""
    tree: dict[str, Any] = {}
    for flag in sets:
        path, equals, value = flag.partition("=")
        if not equals or not path:
            raise SettingsError(f"--set {flag}: must look like group.name=value")
        *groups, name = path.strip().split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
            if not isinstance(branch, dict):
                raise SettingsError(f"--set {flag}: {group} has a value already")
        branch[name] = value
    for name, given in (("host", host), ("port", port)):
        if given is not None:
            tree.setdefault("service", {})[name] = given
    return tree
