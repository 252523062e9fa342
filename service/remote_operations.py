"""`penstock operations`: what became of slow work that a command didn't wait for."""

from typing import Any

import typer

from service.client import DEFAULT_URL
from service.terminal import (
    EPILOG,
    AsJson,
    CaCert,
    OperationId,
    Token,
    Url,
    print_fields,
    print_table,
    service_at,
    show_answer,
)

operations = typer.Typer(help="What became of slow work.", no_args_is_help=True)


@operations.command("list", epilog=EPILOG)
def list_operations(
    url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False
) -> None:
    """Newest first; the service keeps 200."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.get("/v1/operations"), as_json, _print_operations)


@operations.command(epilog=EPILOG)
def show(
    identifier: OperationId, url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False
) -> None:
    """One of them, with its result or its problem."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.get(f"/v1/operations/{identifier}"), as_json, _print_operation)


def _print_operations(answer: dict[str, Any]) -> None:
    print_table(("id", "kind", "state", "created_at"), answer["operations"])


def _print_operation(operation: dict[str, Any]) -> None:
    parts = {"result": operation.get("result", {}), "problem": operation.get("problem", {})}
    told = operation | {f"{part}.{name}": value for part, fields in parts.items() for name, value in fields.items()}
    print_fields({name: value for name, value in told.items() if name not in parts})
