"""Commands that talk to a running service: status, pause, resume, checkpoints."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from service.client import DEFAULT_URL, Client, OperationFailed, Unreachable

Url = Annotated[str, typer.Option(envvar="PENSTOCK_URL", help="The service's address.")]
Token = Annotated[
    str | None, typer.Option(envvar="PENSTOCK_TOKEN", help="Its token, where it wants one.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="The service's answer as it is.")]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="A checkpoint's id.")]
EPILOG = "Exit codes: 0 done · 1 the operation failed · 2 wrong usage · 3 the service isn't reachable."

checkpoints = typer.Typer(help="Take checkpoints and look into them.", no_args_is_help=True)
_console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200)


def add_to(app: typer.Typer) -> None:
    for command in (status, pause, resume):
        app.command(epilog=EPILOG)(command)
    app.add_typer(checkpoints, name="checkpoints", epilog=EPILOG)


def status(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """What the service does, partition by partition."""
    with _service(url, token) as service:
        _show(service.get("/v1/status"), as_json, _print_status)


def pause(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Stop training after the present step, until `resume`; restarts don't change it."""
    with _service(url, token) as service:
        _show(service.post("/v1/pause"), as_json, _print_desired)


def resume(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Go on training."""
    with _service(url, token) as service:
        _show(service.post("/v1/resume"), as_json, _print_desired)


@checkpoints.command("list", epilog=EPILOG)
def list_checkpoints(
    url: Url = DEFAULT_URL,
    token: Token = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most to show.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Newest first."""
    with _service(url, token) as service:
        _show(service.get("/v1/checkpoints", limit=limit, cursor=cursor), as_json, _print_checkpoints)


@checkpoints.command(epilog=EPILOG)
def show(identifier: Identifier, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """One checkpoint."""
    with _service(url, token) as service:
        _show(service.get(f"/v1/checkpoints/{identifier}"), as_json, _print_fields)


@checkpoints.command(epilog=EPILOG)
def create(
    url: Url = DEFAULT_URL,
    token: Token = None,
    label: Annotated[str | None, typer.Option(help="A name for people.", show_default=False)] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep it for ever.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until it is durable.")] = True,
    timeout_s: Annotated[float, typer.Option(help="Longest wait, seconds.")] = 310.0,
    as_json: AsJson = False,
) -> None:
    """Take a checkpoint now."""
    with _service(url, token) as service:
        operation = service.post("/v1/checkpoints", {"label": label, "pin": pin})
        _show(service.wait_for(operation, timeout_s) if wait else operation, as_json, _print_operation)


@checkpoints.command(epilog=EPILOG)
def records(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    token: Token = None,
    partition: Annotated[int | None, typer.Option(help="Only this one.", show_default=False)] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as trained.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most intervals.")] = 1000,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Which offsets a checkpoint has trained, held out, … as half-open intervals."""
    with _service(url, token) as service:
        path = f"/v1/checkpoints/{identifier}/records"
        page = service.get(path, partition=partition, kind=kind, limit=limit, cursor=cursor)
        _show(page, as_json, _print_records)


@contextmanager
def _service(url: str, token: str | None) -> Iterator[Client]:
    """A client whose failures end the command with their exit code."""
    try:
        yield Client(url, token)
    except OperationFailed as error:
        typer.echo(f"penstock: {error}", err=True)
        raise typer.Exit(1) from error
    except Unreachable as error:
        typer.echo(f"penstock: {error}", err=True)
        raise typer.Exit(3) from error


def _show(answer: Any, as_json: bool, pretty: Callable[[Any], None]) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=1))
    else:
        pretty(answer)


def _print_status(status: dict[str, Any]) -> None:
    doing = f" ({status['worker']['doing']})" if status["worker"]["doing"] else ""
    loss = "" if status["loss"] is None else f", loss {status['loss']:.4f}"
    rate = f", {status['rates']['records_per_s']:.1f} records/s"
    _console.print(f"{status['name']}: {status['state']}{doing}, step {status['step']}{loss}{rate}")
    if status["degraded"]:
        _console.print(f"degraded since {status['degraded']['since']}: {status['degraded']['detail']}")
    for problem in status["problems"]:
        _console.print(f"problem {problem['id']}: {problem['detail']}")
        for remedy in problem["remedies"]:
            _console.print(f"  - {remedy}")
    names = ("topic", "partition", "origin", "position", "checkpointed", "log_end", "lag", "trained")
    _print_table(names, status["partitions"])


def _print_desired(answer: dict[str, Any]) -> None:
    _console.print(f"desired {answer['desired_state']}, now {answer['state']}")


def _print_checkpoints(page: dict[str, Any]) -> None:
    names = ("id", "step", "created_at", "size_bytes", "cause", "label", "pinned", "integrity")
    _print_table(names, page["checkpoints"])
    _print_next(page)


def _print_fields(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        _console.print(f"{name:12} {'' if value is None else value}")


def _print_operation(operation: dict[str, Any]) -> None:
    result = operation.get("result", {}).get("checkpoint_id")
    _console.print(result or f"operation {operation['id']} is {operation['state']}")


def _print_records(page: dict[str, Any]) -> None:
    fixed = {"topic", "partition", "origin", "position"}
    rows = [
        {"topic": each["topic"], "partition": each["partition"], "kind": kind, "start": start, "stop": stop}
        for each in page["partitions"]
        for kind, intervals in each.items()
        if kind not in fixed
        for start, stop in intervals
    ]
    _print_table(("topic", "partition", "kind", "start", "stop"), rows)
    _print_next(page)


def _print_next(page: dict[str, Any]) -> None:
    if page["next"] is not None:
        _console.print(f"more with --cursor {page['next']}")


def _print_table(names: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in names:
        number = all(isinstance(row[name], int | None) for row in rows) and bool(rows)
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*["" if row[name] is None else str(row[name]) for name in names])
    _console.print(table)
