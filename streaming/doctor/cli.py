"""`penstock doctor`: is everything there that a training needs? One line a check, with the remedy."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from streaming import logs
from streaming.doctor.child import examine
from streaming.doctor.disk import check_folder, newest
from streaming.doctor.examination import WITHIN_S, Range
from streaming.doctor.finding import Finding, Verdict, skipped
from streaming.doctor.kafka_checks import Examined, check_kafka
from streaming.errors import CheckpointError, SettingsError
from streaming.flags import Config, Sets, flags_tree
from streaming.settings import Settings
from streaming.settings_sources import load_settings

EPILOG = "Exit codes: 0 nothing failed · 1 a check failed · 2 wrong usage or settings."
MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "red"),
    Verdict.SKIPPED: ("-", "bright_black"),
}

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(epilog=EPILOG)
def doctor(
    config: Config = None,
    sets: Sets = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what needs no TensorFlow: Kafka and the folder.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Check all that a training with these settings needs, before it or beside it; nothing is changed."""
    logs.silence()
    try:
        settings = load_settings(config, flags_tree(sets or []))
    except SettingsError as error:
        typer.echo(f"penstock: {error}", err=True)
        raise typer.Exit(2) from error
    console = Console(highlight=False, soft_wrap=True)
    found = []
    for finding in findings(settings, quick=quick):
        found.append(finding)
        if not as_json:
            console.print(_line(finding))
    bad = sum(finding.verdict is Verdict.FAILED for finding in found)
    if as_json:
        typer.echo(json.dumps({"ok": not bad, "checks": [finding.told() for finding in found]}, indent=1))
    raise typer.Exit(1 if bad else 0)


def findings(settings: Settings, *, quick: bool) -> Iterator[Finding]:
    """What is quick first; the rest in a process of its own."""
    folder = check_folder(settings)
    yield folder
    try:
        line = newest(settings) if folder.verdict is not Verdict.FAILED else None
    except CheckpointError:  # the folder's finding tells it
        line = None
    examined = Examined()
    yield from check_kafka(settings, line[1] if line else None, examined)
    if quick:
        yield from (skipped(name, "--quick") for name in WITHIN_S)
    else:
        yield from examine(settings, _ranges(settings, examined))


def _ranges(settings: Settings, examined: Examined) -> list[Range]:
    """The newest offsets of each partition, a batch in all."""
    if examined.log is None:
        return []
    starts, ends = examined.log.starts, examined.log.ends
    each = -(-settings.pipeline.batch_size // max(1, len(ends)))
    found = [(partition, max(starts[partition], end - each), end) for partition, end in sorted(ends.items())]
    return [one for one in found if one[1] < one[2]]


def _line(finding: Finding) -> Text:
    mark, colour = MARKS[finding.verdict]
    line = Text.assemble((mark, colour), f" {finding.check:13} ", finding.detail)
    if finding.remedy is not None:
        line.append(f"\n{'':16}→ {finding.remedy}", style=colour)
    return line
