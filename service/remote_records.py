"""`penstock checkpoints records` and `diff`: which offsets a checkpoint has settled, and how."""

from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.terminal import (
    EPILOG,
    AsJson,
    CaCert,
    Cursor,
    Identifier,
    Token,
    Url,
    print_next,
    print_table,
    service_at,
    show_answer,
)

NOT_KINDS = {"topic", "partition", "origin", "position"}

Partition = Annotated[int | None, typer.Option(help="Only this one.", show_default=False)]
Kind = Annotated[str | None, typer.Option(help="Only this kind, such as trained.", show_default=False)]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Most intervals.")]


def add_to(checkpoints: typer.Typer) -> None:
    for command in (records, diff):
        checkpoints.command(epilog=EPILOG)(command)


def records(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    partition: Partition = None,
    kind: Kind = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """Which offsets a checkpoint has trained, held out, … as half-open intervals."""
    with service_at(url, token, cacert, as_json) as service:
        path = f"/v1/checkpoints/{identifier}/records"
        page = service.get(path, partition=partition, kind=kind, limit=limit, cursor=cursor)
        show_answer(page, as_json, _print_intervals)


def diff(
    identifier: Identifier,
    to: Annotated[str, typer.Option(metavar="ID", help="The other checkpoint, usually a later one.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    partition: Partition = None,
    kind: Kind = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """What was trained, held out, … between two checkpoints, as half-open intervals."""
    with service_at(url, token, cacert, as_json) as service:
        path = f"/v1/checkpoints/{identifier}/diff"
        page = service.get(path, to=to, partition=partition, kind=kind, limit=limit, cursor=cursor)
        show_answer(page, as_json, _print_intervals)


def _print_intervals(page: dict[str, Any]) -> None:
    rows = [
        {"topic": each["topic"], "partition": each["partition"], "kind": kind, "start": start, "stop": stop}
        for each in page["partitions"]
        for kind, intervals in each.items()
        if kind not in NOT_KINDS
        for start, stop in intervals
    ]
    print_table(("topic", "partition", "kind", "start", "stop"), rows)
    print_next(page)
