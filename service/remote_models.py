"""`penstock checkpoints export`: what becomes of a checkpoint's model beside the training."""

from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.terminal import EPILOG, AsJson, CaCert, TimeoutS, Token, Url, Wait, console, service_at, show_answer

LONG_S = 900.0
Identifier = Annotated[str, typer.Argument(metavar="ID", help="A checkpoint's id.")]


def add_to(checkpoints: typer.Typer) -> None:
    for command in (export,):
        checkpoints.command(epilog=EPILOG)(command)


def export(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    wait: Wait = True,
    timeout_s: TimeoutS = LONG_S,
    as_json: AsJson = False,
) -> None:
    """Make a SavedModel for TensorFlow Serving; prints its folder, on the service's machine."""
    with service_at(url, token, cacert) as service:
        operation = service.post(f"/v1/checkpoints/{identifier}/export")
        show_answer(service.wait_for(operation, timeout_s) if wait else operation, as_json, _print_exported)


def _print_exported(operation: dict[str, Any]) -> None:
    made = operation.get("result", {}).get("directory")
    console.print(made or f"operation {operation['id']} is {operation['state']}")
