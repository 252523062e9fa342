"""`penstock dead-letters`: records that were refused, and reading them again."""

from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.terminal import (
    EPILOG,
    TIMEOUT_S,
    AsJson,
    CaCert,
    Cursor,
    TimeoutS,
    Token,
    Url,
    Wait,
    console,
    print_next,
    print_table,
    service_at,
    show_answer,
    show_work,
)

letters = typer.Typer(help="Records that were refused.", no_args_is_help=True)


@letters.command("list", epilog=EPILOG)
def list_letters(
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    reason: Annotated[str | None, typer.Option(help="Only this one.", show_default=False)] = None,
    partition: Annotated[int | None, typer.Option(help="Only this one.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most to show.")] = 100,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """Those of the newest checkpoint, by partition, the newest first."""
    with service_at(url, token, cacert, as_json) as service:
        page = service.get("/v1/dead-letters", reason=reason, partition=partition, limit=limit, cursor=cursor)
        show_answer(page, as_json, _print_letters)


@letters.command(epilog=EPILOG)
def requeue(
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    reason: Annotated[str | None, typer.Option(help="Only these.", show_default=False)] = None,
    partition: Annotated[
        list[int] | None, typer.Option(help="Only these; may be repeated.", show_default=False)
    ] = None,
    before: Annotated[int | None, typer.Option(min=0, help="Only offsets below.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    wait: Wait = True,
    timeout_s: TimeoutS = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Owe them again, so that they are read in place, after a parser was mended; the worker begins anew."""
    body = {"reason": reason, "partitions": partition or None, "before": before, "all": everything}
    with service_at(url, token, cacert, as_json) as service:
        operation = service.post("/v1/dead-letters/requeue", body)
        show_work(service, operation, wait, timeout_s, as_json, _print_requeued)


def _print_letters(page: dict[str, Any]) -> None:
    for reason, count in sorted(page["counts"].items()):
        console.print(f"{reason}: {count}")
    print_table(("topic", "partition", "offset", "reason"), page["dead_letters"])
    print_next(page)


def _print_requeued(result: dict[str, Any]) -> None:
    left = [f"{result[name]} {name}" for name in ("quarantined", "gone") if result[name]]
    console.print(f"{result['records']} records are owed again" + (f", left alone: {', '.join(left)}" if left else ""))
