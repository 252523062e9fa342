"""What the commands that talk to a running service share: options, exit codes, tables."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from service.client import Client, CommandFailed


def _sendable(token: str | None) -> str | None:
    """Refused by the HTTP client, it would be shown in the error."""
    if token is not None and not (token.isascii() and token.isprintable()):
        raise typer.BadParameter("the token must be printable ASCII")
    return token


def _segment(identifier: str) -> str:
    """As it stands in a path."""
    if not identifier.isprintable() or identifier in ("", ".", ".."):
        raise typer.BadParameter(f"{identifier!r} is no id")
    return quote(identifier, safe="")


Identifier = Annotated[str, typer.Argument(metavar="ID", help="A checkpoint's id.", callback=_segment)]
OperationId = Annotated[str, typer.Argument(metavar="ID", help="An operation's id.", callback=_segment)]
ProblemId = Annotated[str, typer.Argument(metavar="ID", help="The problem, such as data-lost.", callback=_segment)]
Url = Annotated[str, typer.Option(envvar="PENSTOCK_URL", help="The service's address.")]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="PENSTOCK_TOKEN", help="Its token, where it wants one.", show_default=False, callback=_sendable
    ),
]
CaCert = Annotated[
    Path | None,
    typer.Option(
        envvar="PENSTOCK_CACERT", help="CA certificates, PEM, for a service with one of its own.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The service's answer as it is, or its problem details.")]
Cursor = Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]
TimeoutS = Annotated[float, typer.Option(help="Longest wait, seconds.")]
TIMEOUT_S = 310.0
EPILOG = "Exit codes: 0 done · 1 the operation failed · 2 wrong usage · 3 the service isn't reachable."

console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200)


@contextmanager
def service_at(url: str, token: str | None, cacert: Path | None, as_json: bool) -> Iterator[Client]:
    """A client whose failures end the command with their exit code. cacert: None for the CAs of the system.

    as_json: what the service told of a failure goes to stdout, beside the sentence on stderr.
    """
    try:
        yield Client(url, token, cacert)
    except CommandFailed as error:
        if as_json and error.problem is not None:
            typer.echo(json.dumps(error.problem, indent=1))
        typer.echo(f"penstock: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


def show_answer(answer: Any, as_json: bool, pretty: Callable[[Any], None]) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    else:
        pretty(answer)


def show_work(
    service: Client,
    operation: dict[str, Any],
    wait: bool,
    timeout_s: float,
    as_json: bool,
    pretty: Callable[[dict[str, Any]], None],
) -> None:
    """The operation, once it has ended where that is to be waited for. pretty: prints its result for people."""

    def told(operation: dict[str, Any]) -> None:
        if (result := operation.get("result")) is not None:
            pretty(result)
        else:
            identifier = operation["id"]
            console.print(f"operation {identifier} is {operation['state']}: penstock operations show {identifier}")

    show_answer(service.wait_for(operation, timeout_s) if wait else operation, as_json, told)


def print_fields(fields: dict[str, Any]) -> None:
    width = max(12, *map(len, fields))
    for name, value in fields.items():
        console.print(f"{name:{width}} {'' if value is None else value}")


def print_next(page: dict[str, Any]) -> None:
    if page["next"] is not None:
        console.print(f"more with --cursor {page['next']}")


def print_table(names: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in names:
        number = all(isinstance(row[name], int | None) for row in rows) and bool(rows)
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*["" if row[name] is None else str(row[name]) for name in names])
    console.print(table)
