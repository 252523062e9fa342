"""`penstock checkpoints export` and `adapt`: what becomes of a checkpoint's model, for others and in a changed one."""

from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.terminal import (
    EPILOG,
    AsJson,
    CaCert,
    Identifier,
    TimeoutS,
    Token,
    Url,
    Wait,
    console,
    service_at,
    show_work,
)

LONG_S = 900.0


def add_to(checkpoints: typer.Typer) -> None:
    for command in (export, adapt):
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
    with service_at(url, token, cacert, as_json) as service:
        operation = service.post(f"/v1/checkpoints/{identifier}/export")
        show_work(service, operation, wait, timeout_s, as_json, _print_exported)


def adapt(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    init: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Variables that begin anew, such as 'head/*'; may be given several times.",
            show_default=False,
        ),
    ] = None,
    reset_optimizer: Annotated[
        bool, typer.Option("--reset-optimizer", help="Nothing of the optimizer is taken over.")
    ] = False,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Though records are gone.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would begin anew.")] = False,
    wait: Wait = True,
    timeout_s: TimeoutS = LONG_S,
    as_json: AsJson = False,
) -> None:
    """Go back to a checkpoint with a changed model; prints the new one that the worker begins with."""
    body = {"init": init or [], "reset_optimizer": reset_optimizer, "accept_loss": accept_loss, "dry_run": dry_run}
    with service_at(url, token, cacert, as_json) as service:
        operation = service.post(f"/v1/checkpoints/{identifier}/adapt", body)
        show_work(service, operation, wait, timeout_s, as_json, _print_adapted)


def _print_adapted(result: dict[str, Any]) -> None:
    for name in result.get("names", []):
        console.print(f"begins anew: {name}")
    made = result.get("checkpoint_id", "nothing was done")
    console.print(f"{made}: {result['kept']} variables kept, {result['fresh']} begin anew")


def _print_exported(result: dict[str, Any]) -> None:
    console.print(result["directory"])
