"""Secrets given as flags move into the environment: anybody on the machine can read the arguments of a process."""

import os
import sys
from collections.abc import Sequence

from streaming.settings_sources import MOVED_VARIABLE, secret_variables

TOKEN_VARIABLE = "PENSTOCK_TOKEN"  # noqa: S105  # a name


def hide_secrets() -> None:
    """Start this command anew without the secrets among its arguments, if there are any; the same process id."""
    arguments, environment = without_secrets(sys.argv[1:])
    if environment:
        environment |= {MOVED_VARIABLE: ",".join(environment)}
        before = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
        os.execve(sys.executable, [sys.executable, *before, *arguments], os.environ | environment)  # noqa: S606


def without_secrets(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments that may be seen, and the environment variables that stand for the others."""
    variables = secret_variables()
    seen: list[str] = []
    moved: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        first = rest.pop(0)
        option, equals, value = first.partition("=")
        if option not in ("--set", "--token") or (not equals and not rest):
            seen.append(first)
            continue
        value = value if equals else rest.pop(0)
        name, _, secret = value.partition("=")
        if option == "--token":
            moved[TOKEN_VARIABLE] = value
        elif name.strip() in variables:
            moved[variables[name.strip()]] = secret
        else:
            seen += [first] if equals else [first, value]
    return seen, moved
