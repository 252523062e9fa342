"""`penstock new-run`: begin from scratch, with what there was put aside."""

from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.terminal import (
    TIMEOUT_S,
    AsJson,
    CaCert,
    TimeoutS,
    Token,
    Url,
    Wait,
    console,
    service_at,
    show_answer,
    show_work,
)


def new_run(
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be put aside.")] = False,
    wait: Wait = True,
    timeout_s: TimeoutS = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Put all checkpoints aside, deleting none, and train a new model from kafka.start on."""
    with service_at(url, token, cacert, as_json) as service:
        answer = service.post("/v1/new-run", {"dry_run": dry_run})
        if dry_run:
            show_answer(answer, as_json, _print_told)
        else:
            show_work(service, answer, wait, timeout_s, as_json, _print_begun)


def _print_told(told: dict[str, Any]) -> None:
    console.print(f"{told['checkpoints']} checkpoints ({told['size_bytes']} bytes) would go into {told['folder']}")
    console.print(f"the new run would begin at kafka.start = {told['start']}")


def _print_begun(result: dict[str, Any]) -> None:
    console.print(result.get("archive", "there was no checkpoint to put aside"))
