"""Commands that talk to a running service: status, pause, resume, stop, start, checkpoints."""

from typing import Annotated, Any, Literal

import typer

from service import remote_anew, remote_letters, remote_models, remote_operations, remote_problems, remote_records
from service.client import DEFAULT_URL
from service.terminal import (
    EPILOG,
    TIMEOUT_S,
    AsJson,
    CaCert,
    Cursor,
    Identifier,
    TimeoutS,
    Token,
    Url,
    Wait,
    console,
    print_fields,
    print_next,
    print_table,
    service_at,
    show_answer,
    show_work,
)

checkpoints = typer.Typer(help="Take checkpoints and look into them.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    for command in (status, pause, resume, stop, start, remote_anew.new_run):
        app.command(epilog=EPILOG)(command)
    remote_records.add_to(checkpoints)
    remote_models.add_to(checkpoints)
    app.add_typer(checkpoints, name="checkpoints", epilog=EPILOG)
    app.add_typer(remote_operations.operations, name="operations", epilog=EPILOG)
    app.add_typer(remote_problems.problems, name="problems", epilog=EPILOG)
    app.add_typer(remote_letters.letters, name="dead-letters", epilog=EPILOG)


def status(url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False) -> None:
    """What the service does, partition by partition."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.get("/v1/status"), as_json, _print_status)


def pause(url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False) -> None:
    """Stop training after the present step, until `resume`; restarts don't change it."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.post("/v1/pause"), as_json, _print_desired)


def resume(url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False) -> None:
    """Go on training, after a pause or a stop."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.post("/v1/resume"), as_json, _print_desired)


def stop(
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    drain: Annotated[bool, typer.Option("--drain", help="Train what is read already first.")] = False,
    as_json: AsJson = False,
) -> None:
    """End the worker after a last checkpoint, until `start`; the service goes on answering."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.post("/v1/stop?drain=true" if drain else "/v1/stop"), as_json, _print_desired)


def start(url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False) -> None:
    """Go on after a stop."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.post("/v1/start"), as_json, _print_desired)


@checkpoints.command("list", epilog=EPILOG)
def list_checkpoints(
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most to show.")] = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """Newest first."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.get("/v1/checkpoints", limit=limit, cursor=cursor), as_json, _print_checkpoints)


@checkpoints.command(epilog=EPILOG)
def show(
    identifier: Identifier, url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False
) -> None:
    """One checkpoint."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.get(f"/v1/checkpoints/{identifier}"), as_json, print_fields)


@checkpoints.command(epilog=EPILOG)
def create(
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    label: Annotated[str | None, typer.Option(help="A name for people.", show_default=False)] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep it for ever.")] = False,
    wait: Wait = True,
    timeout_s: TimeoutS = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Take a checkpoint now."""
    with service_at(url, token, cacert, as_json) as service:
        operation = service.post("/v1/checkpoints", {"label": label, "pin": pin})
        show_work(service, operation, wait, timeout_s, as_json, _print_checkpoint)


@checkpoints.command(epilog=EPILOG)
def verify(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    wait: Wait = True,
    timeout_s: TimeoutS = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Hash every file of a checkpoint."""
    with service_at(url, token, cacert, as_json) as service:
        operation = service.post(f"/v1/checkpoints/{identifier}/verify")
        show_work(service, operation, wait, timeout_s, as_json, _print_verified)


@checkpoints.command(epilog=EPILOG)
def restore(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    records: Annotated[
        Literal["retrain", "skip"], typer.Option(help="What was settled since: train it again, or leave it out.")
    ] = "retrain",
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Though some of it is gone.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARTITION:START:STOP",
            help="Leave these offsets [START, STOP) out for good; may be given several times.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell the consequences.")] = False,
    wait: Wait = True,
    timeout_s: TimeoutS = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Go back to a checkpoint; prints the new one that the worker begins with."""
    stretches = [_stretch(each) for each in exclude or []]
    body = {"records": records, "accept_loss": accept_loss, "exclude": stretches, "dry_run": dry_run}
    with service_at(url, token, cacert, as_json) as service:
        answer = service.post(f"/v1/checkpoints/{identifier}/restore", body)
        if dry_run:
            show_answer(answer, as_json, _print_consequences)
        else:
            show_work(service, answer, wait, timeout_s, as_json, _print_checkpoint)


def _stretch(text: str) -> dict[str, int]:
    try:
        partition, start, stop = (int(part) for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(f"{text}: must be PARTITION:START:STOP, such as 0:1200:1300") from None
    return {"partition": partition, "start": start, "stop": stop}


def _print_status(status: dict[str, Any]) -> None:
    doing = f" ({status['worker']['doing']})" if status["worker"]["doing"] else ""
    loss = "" if status["loss"] is None else f", loss {status['loss']:.4f}"
    rate = f", {status['rates']['records_per_s']:.1f} records/s"
    console.print(f"{status['name']}: {status['state']}{doing}, step {status['step']}{loss}{rate}")
    if status["degraded"]:
        console.print(f"degraded since {status['degraded']['since']}: {status['degraded']['detail']}")
    remote_problems.print_problems(status["problems"])
    names = ("topic", "partition", "origin", "position", "checkpointed", "log_end", "lag", "trained")
    print_table(names, status["partitions"])


def _print_desired(answer: dict[str, Any]) -> None:
    console.print(f"desired {answer['desired_state']}, now {answer['state']}")
    if answer["state"] == "failed":
        console.print("it goes on once its problem is answered: penstock problems list")


def _print_checkpoints(page: dict[str, Any]) -> None:
    names = ("id", "step", "created_at", "size_bytes", "cause", "label", "pinned", "integrity")
    print_table(names, page["checkpoints"])
    print_next(page)


def _print_checkpoint(result: dict[str, Any]) -> None:
    console.print(result.get("checkpoint_id", "nothing was done"))


def _print_verified(result: dict[str, Any]) -> None:
    console.print(result["integrity"])


def _print_consequences(told: dict[str, Any]) -> None:
    what = "trained again" if told["records"] == "retrain" else "left out"
    gone = "unknown how many" if told["gone"] is None else told["gone"]
    console.print(f"{told['again']} records would be {what}, {gone} of them are gone from the topic")
    if any(each["kept"] for each in told["partitions"]):
        console.print("some of what is to be excluded is trained in that checkpoint already: restore an older one")
    names = ("topic", "partition", "position", "again", "trained", "gone", "excluded", "kept")
    print_table(names, told["partitions"])
