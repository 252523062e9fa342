"""`penstock settings`: what holds, where it comes from, and when a change of it applies."""

import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel, SecretStr

from service.flags import Config, Sets, flags_tree
from streaming.settings import Settings
from streaming.settings_sources import CONFIG_VARIABLE, ENV_PREFIX, load_settings

app = typer.Typer(help="The settings as this command would use them.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


class Row(NamedTuple):
    """One setting; secrets are masked. source: default, file, environment or flag."""

    name: str
    value: str
    source: str
    applies: str
    description: str


@app.command()
def check(config: Config = None, sets: Sets = None) -> None:
    """Exit 0 if the settings can work, 2 with one line if they can't."""
    load_settings(config, flags_tree(sets or []))
    typer.echo("the settings are valid")


@app.command()
def show(config: Config = None, sets: Sets = None, as_json: AsJson = False) -> None:
    """Every setting with its value, its source and when a change applies."""
    flags = flags_tree(sets or [])
    rows = list(table_rows(load_settings(config, flags), _file_tree(config), os.environ, flags))
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in rows], indent=1))
    else:
        _print(rows)


def table_rows(
    settings: Settings, file: Mapping[str, Any], environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Iterator[Row]:
    """In the tree's order."""
    for path, value, field in _leaves(settings, ()):
        variable = ENV_PREFIX + "__".join(path).upper()
        if _has(flags, path):
            source = "flag"
        elif variable in environment or f"{variable}_FILE" in environment:
            source = "environment"
        else:
            source = "file" if _has(file, path) else "default"
        applies = (field.json_schema_extra or {}).get("applies", "restart")
        yield Row(".".join(path), _text(value), source, applies, field.description or "")


def _leaves(node: BaseModel, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    for name, field in type(node).model_fields.items():
        value = getattr(node, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value, field


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********"
    return "" if value is None else str(value)


def _has(tree: object, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True


def _file_tree(config: Path | None) -> Mapping[str, Any]:
    file = config or os.environ.get(CONFIG_VARIABLE)
    return tomllib.loads(Path(file).read_text()) if file else {}


def _print(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "from", "applies", "meaning", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.name, row.value, row.source, row.applies, row.description)
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False)
    console.print(table)
