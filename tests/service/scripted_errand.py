"""A real process for an errand, without TensorFlow: does what it is asked to, or comes to harm as it is told.

    python scripted_errand.py BEHAVIOURS COUNT export|adapt

BEHAVIOURS: one an errand, comma separated, the last one repeated; COUNT: a file of a byte an errand so far.
  well      makes a model, and answers           refuses   answers that the user's code failed
  stumbles  answers what nobody expected         dies      says something on stderr, exits with code 3
  crashes   kills itself with SIGSEGV            silent    makes half a model and never comes back
  misfits   answers that a variable doesn't fit
  mumbles   answers with what is no answer       deaf      exits with code 3 without having listened
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    behaviours, count, kind = sys.argv[1:]
    with open(count, "ab") as file:
        file.write(b".")
    if (behaviour := nth(behaviours, Path(count).stat().st_size)) == "deaf":
        sys.exit(3)
    asked = json.loads(sys.stdin.read())
    assert (kind, os.getppid()) == (asked["errand"]["kind"], asked["parent"])
    errand = asked["errand"]
    begin(errand)
    match behaviour:
        case "well":
            print(json.dumps(adapted(errand) if kind == "adapt" else exported(errand)))
        case "misfits":
            print('{"kind": "refusal", "problem": "checkpoint-mismatch", "detail": "variable head/kernel: another"}')
        case "refuses":
            print('{"kind": "refusal", "problem": "user-code-failed", "detail": "model.build = a:b: no such thing"}')
        case "stumbles":
            print('{"kind": "refusal", "problem": null, "detail": "OSError: no space left"}')
        case "dies":
            print("noise\nterminate called\n", file=sys.stderr)
            sys.exit(3)
        case "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "silent":
            signal.pause()
        case "mumbles":
            print("gibberish")


def begin(errand: dict[str, Any]) -> None:
    """Half a model."""
    if errand["kind"] == "export":
        (Path(errand["directory"]) / "variables").mkdir()
        (Path(errand["directory"]) / "variables" / "weights").write_bytes(Path(errand["weights"]).read_bytes())


def exported(errand: dict[str, Any]) -> dict[str, Any]:
    (Path(errand["directory"]) / "saved_model.pb").write_text("graph")
    return {"kind": "exported"}


def adapted(errand: dict[str, Any]) -> dict[str, Any]:
    """A file that tells what was asked for."""
    if errand["file"] is not None:
        weights = Path(errand["weights"]).read_text()
        Path(errand["file"]).write_text(f"{weights}, anew {errand['init']} {errand['reset_optimizer']}")
    new_run = {"model.classes": 4}
    return {"kind": "adapted", "fresh": errand["init"], "kept": 7, "signature": "changed", "new_run": new_run}


def nth(behaviours: str, number: int) -> str:
    names = behaviours.split(",")
    return names[min(number, len(names)) - 1]


main()
