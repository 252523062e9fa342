"""An exception's text in one line, for people: without TensorFlow's names for its graph and AutoGraph's traceback."""

import re

_GRAPH_NAMES = re.compile(r"\{\{(function_)?node [^}]*\}\}\s*")
_OPERATION = re.compile(r"\s*\[Op:.*")


def sentence(error: Exception) -> str:
    """The first line that says something; its type stands in for an exception without text."""
    name = type(error).__name__
    lines = [_OPERATION.sub("", _GRAPH_NAMES.sub("", line)).strip() for line in str(error).splitlines()]
    said = [line for line in lines if line] or [name]
    return said[-1].removeprefix(f"{name}: ") if said[0] == "in user code:" else said[0]
