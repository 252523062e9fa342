"""`penstock settings`: what holds, where it comes from, when a change of it applies; and changing what is live."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.ignored import without_effect
from service.settings_rows import Row, rows
from service.terminal import EPILOG, AsJson, CaCert, Token, Url, print_table, service_at, show_answer
from streaming.flags import Config, Sets, flags_tree
from streaming.settings_sources import load, load_settings
from streaming.settings_tree import LIVE

app = typer.Typer(help="The settings: here, or in a service that runs.", no_args_is_help=True)
Service = Annotated[
    str | None, typer.Option("--url", help="Ask the service there, instead of telling what this command would use.")
]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help=f"{', '.join(LIVE)}.")]
Changes = Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help=f"Of {', '.join(LIVE)}.")]


@app.command()
def check(config: Config = None, sets: Sets = None) -> None:
    """Exit 0 if the settings can work, 2 with one line if they can't."""
    load_settings(config, flags_tree(sets or []))
    typer.echo("the settings are valid")


@app.command(epilog=EPILOG)
def show(
    config: Config = None,
    sets: Sets = None,
    url: Service = None,
    token: Token = None,
    cacert: CaCert = None,
    as_json: AsJson = False,
) -> None:
    """Every setting with its value, its source, when a change applies, and which are ignored."""
    if url is not None:
        if config is not None or sets:
            raise typer.BadParameter("--config and --set are this command's own settings; the service has its own")
        with service_at(url, token, cacert, as_json) as service:
            show_answer(service.get("/v1/settings"), as_json, _print)
        return
    settings, origins = load(config, flags_tree(sets or []))
    found = rows(settings, origins, without_effect(settings, origins))
    show_answer({"settings": [_as_told(row) for row in found]}, as_json, _print)


@app.command("set", epilog=EPILOG)
def set_(
    changes: Changes, url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False
) -> None:
    """Change live settings of a running service: at once, and over restarts, until `reset`."""
    _patch(dict(_parsed(change) for change in changes), url, token, cacert, as_json)


@app.command(epilog=EPILOG)
def reset(
    names: Names, url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False
) -> None:
    """Take back what `set` has set: file, environment and flags count again."""
    _patch(dict.fromkeys(names), url, token, cacert, as_json)


def _patch(changes: dict[str, object], url: str, token: str | None, cacert: Path | None, as_json: bool) -> None:
    with service_at(url, token, cacert, as_json) as service:
        told = service.patch("/v1/settings", changes)
        changed = {"settings": [row for row in told["settings"] if row["name"] in changes]}
        show_answer(told if as_json else changed, as_json, _print)


def _parsed(change: str) -> tuple[str, object]:
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{change}: must look like NAME=VALUE")
    try:
        number = float(text)
    except ValueError:
        return name, text
    return name, number if math.isfinite(number) else text  # JSON has no other numbers; the service says what it wants


def _as_told(row: Row) -> dict[str, Any]:
    """As the service's answer has it."""
    return row._asdict() | {"overridden": [{"source": each.source, "value": each.text} for each in row.overridden]}


def _print(told: dict[str, Any]) -> None:
    names = ("setting", "value", "from", "applies", "meaning")
    print_table(names, [_cells(row) for row in told["settings"]])


def _cells(row: dict[str, Any]) -> dict[str, str]:
    value = "" if row["value"] is None else str(row["value"])
    beaten = "".join(f" (over {each['source']}: {each['value']})" for each in row["overridden"])
    meaning = row["description"] if row["ignored"] is None else f"IGNORED: {row['ignored']}"
    return {
        "setting": row["name"],
        "value": value,
        "from": row["source"] + beaten,
        "applies": row["applies"],
        "meaning": meaning,
    }
