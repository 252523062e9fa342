"""Functions that users name in their settings."""

import importlib
from collections.abc import Callable
from typing import Any

from streaming.errors import UserCodeError
from streaming.sentence import sentence


def load_hook(name: str, setting: str) -> Callable[..., Any]:
    """The function that `module:function` names. Raises UserCodeError naming the setting."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise UserCodeError(f"{setting} = {name}: {type(error).__name__}: {sentence(error)}") from error
    if not callable(found):
        raise UserCodeError(f"{setting} = {name}: not a function")
    hook: Callable[..., Any] = found
    return hook
