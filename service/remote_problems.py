"""`penstock problems`: what needs a person, and the person's answer."""

from typing import Annotated, Any

import typer

from service.client import DEFAULT_URL
from service.terminal import EPILOG, AsJson, CaCert, ProblemId, Token, Url, console, service_at, show_answer

problems = typer.Typer(help="What needs a person.", no_args_is_help=True)


@problems.command("list", epilog=EPILOG)
def list_problems(url: Url = DEFAULT_URL, token: Token = None, cacert: CaCert = None, as_json: AsJson = False) -> None:
    """With what can be done about each, the gravest first."""
    with service_at(url, token, cacert, as_json) as service:
        show_answer(service.get("/v1/problems"), as_json, _print_list)


@problems.command(epilog=EPILOG)
def resolve(
    identifier: ProblemId,
    answer: Annotated[str, typer.Argument(metavar="ANSWER", help="One of its answers, such as accept.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    cacert: CaCert = None,
    as_json: AsJson = False,
) -> None:
    """Answer a problem, for good; a failed service starts again."""
    with service_at(url, token, cacert, as_json) as service:
        told = service.post(f"/v1/problems/{identifier}/resolve", {"answer": answer})
        show_answer(told, as_json, lambda told: console.print(f"{told['id']}: {told['answer']}, now {told['state']}"))


def _print_list(answer: dict[str, Any]) -> None:
    if not answer["problems"]:
        console.print("nothing needs a person")
    print_problems(answer["problems"])


def print_problems(found: list[dict[str, Any]]) -> None:
    for problem in found:
        console.print(f"problem {problem['id']}: {problem['detail']}")
        for remedy in problem["remedies"]:
            console.print(f"  - {remedy}")
        for each in problem["answers"]:
            console.print(f"  - penstock problems resolve {problem['id']} {each['answer']}: {each['effect']}")
