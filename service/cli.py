"""The `penstock` command. Imports stay lean here: `serve` has to answer its first probe soon."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service.argv import hide_secrets
from streaming.errors import SettingsError
from streaming.flags import Config, Sets, flags_tree

EXIT_CODES = "Exit codes: 0 done · 1 the operation failed · 2 wrong usage or settings · 3 the service isn't reachable."
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

Host = Annotated[str | None, typer.Option(help="Address to listen on; service.host.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port to listen on; service.port.", show_default=False)]

app = typer.Typer(
    name="penstock",
    help="Train a TensorFlow model continuously from images in Kafka.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. A wrong setting is one line on stderr and exit code 2."""
    if arguments is None:
        hide_secrets()
        arguments = sys.argv[1:]
    if list(arguments[:1]) not in (["serve"], ["train"]):
        _add_client_commands()
    try:
        app(list(arguments), prog_name="penstock")
    except SettingsError as error:
        sys.exit(_fail(str(error), 2))


@app.command(epilog=EXIT_CODES)
def serve(config: Config = None, sets: Sets = None, host: Host = None, port: Port = None) -> None:
    """Run the service: train for as long as it runs, steered and watched over HTTP."""
    _run(config, sets, host, port, until=None)


@app.command(epilog=EXIT_CODES)
def train(
    until: Annotated[str, typer.Option(metavar="now|TIME", help="Where to stop: what is there now, or an ISO time.")],
    config: Config = None,
    sets: Sets = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Train up to a fixed point, take a checkpoint, and exit 0."""
    if until != "now" and not _is_moment(until):
        sys.exit(_fail(f"--until {until}: must be now or an ISO time with a zone, such as 2026-01-31T12:00:00Z", 2))
    _run(config, sets, host, port, until)


@app.command(context_settings=_PASS_ON)
def produce(context: typer.Context) -> None:
    """Put records into a topic (synthetic, oxford-pet, folder); see `penstock produce --help`."""
    _become_streaming("produce", context.args)


@app.command(context_settings=_PASS_ON)
def demo(context: typer.Context) -> None:
    """A real Kafka, drawn pets, a trained model; see `penstock demo --help`."""
    _become_streaming("demo", context.args)


@app.command(context_settings=_PASS_ON)
def doctor(context: typer.Context) -> None:
    """Check Kafka, records, model, device and disk, with a remedy for each; see `penstock doctor --help`."""
    _become_streaming("doctor", context.args)


@app.command()
def version() -> None:
    """The versions of penstock and of what it stands on."""
    from importlib.metadata import version as installed

    others = ", ".join(f"{name} {installed(name)}" for name in ("tensorflow", "tensorflow-io", "keras", "kafka-python"))
    typer.echo(f"penstock {installed('penstock')} ({others})")


def _run(config: Path | None, sets: list[str] | None, host: str | None, port: int | None, until: str | None) -> None:
    from service.server import CannotListen
    from service.server import serve as run
    from streaming.settings_sources import load

    settings, origins = load(config, flags_tree(sets or [], host, port))
    try:
        code = run(settings, until, origins=origins)
    except CannotListen as error:
        code = _fail(str(error), 1)
    sys.exit(code)


def _add_client_commands() -> None:
    from service import remote, settings_table

    remote.add_to(app)
    app.add_typer(settings_table.app, name="settings")


def _become_streaming(command: str, arguments: list[str]) -> None:
    """These need TensorFlow or Java, which this process never loads."""
    os.execv(sys.executable, [sys.executable, "-m", "streaming", command, *arguments])  # noqa: S606  # no shell


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _fail(text: str, code: int) -> int:
    typer.echo(f"penstock: {text}", err=True)
    return code
