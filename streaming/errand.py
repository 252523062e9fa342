"""`python -m streaming export | adapt`: one errand for the sidecar, asked for and answered with a line of JSON."""

import os
import sys
import traceback

from streaming.control.errands import Adapt, Answer, Asked, Exported, Refusal
from streaming.errors import PenstockError, problem_of
from streaming.parent import die_with_parent, yield_the_cores
from streaming.sentence import sentence
from streaming.settings import parse_settings

NICE = 10
EXPENDABLE = 900  # of 1000: when memory runs out, this process goes before the worker does


def main() -> None:
    """Standard input: `Asked`; standard output: an `Answer`, and nothing that a library or a user's module prints."""
    reply = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    die_with_parent(EXPENDABLE)
    asked = Asked.model_validate_json(sys.stdin.buffer.read())
    if os.getppid() != asked.parent:  # it ended before this process could ask to die with it
        return
    yield_the_cores(NICE)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the device is the worker's
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.write(reply, _answer(asked).model_dump_json().encode())


def _answer(asked: Asked) -> Answer:
    try:
        return _run(asked)
    except PenstockError as error:
        return Refusal(problem=problem_of(error), detail=str(error))
    except Exception as error:  # noqa: BLE001  # a user's model may raise anything, and TensorFlow has errors of its own
        traceback.print_exc()
        return Refusal(problem=None, detail=f"{type(error).__name__}: {sentence(error)}")


def _run(asked: Asked) -> Answer:
    settings = parse_settings(asked.settings)
    if isinstance(asked.errand, Adapt):
        from streaming.adapting import adapt_file

        return adapt_file(settings, asked.errand)
    from streaming.exporting import export

    export(settings, asked.errand)
    return Exported()
