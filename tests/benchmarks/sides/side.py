"""What every side of the comparison shares: it stands still until a line on stdin asks for a window.

A line is "seconds uncounted-images". The images that are not counted come first: they empty what was read ahead while
the side stood still. The answer is one line of JSON.
"""

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36


def serve(batches: Iterator[int], read_ahead: int, about: Callable[[], dict[str, Any]] = dict) -> None:
    """Obey until stdin ends. The first line written says that the side is ready, and how far it reads ahead.

    batches: sizes, for ever; each is asked for as soon as the one before has come. read_ahead: images, at most.
    about: what else to say of the moment before a window, when the side has stood still.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes elsewhere
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # no child leaves the tree
    next(batches)
    print(json.dumps({"read_ahead": read_ahead}), file=answers)
    for line in sys.stdin:
        seconds, uncounted = line.split()
        said = about()
        print(json.dumps(_window(batches, float(seconds), int(uncounted)) | said), file=answers)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def _window(batches: Iterator[int], seconds: float, uncounted: int) -> dict[str, Any]:
    left = max(1, uncounted)
    while left > 0:
        left -= next(batches)
    images, cpu_s, began = 0, _tree_cpu_s(), time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        images += next(batches)
    return {"images": images, "wall_s": now - began, "cpu_s": _tree_cpu_s() - cpu_s}


def _tree_cpu_s() -> float:
    """User and system seconds of this process, all below it, and those of them that have ended."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:  # then its parent has counted it
            continue
    return total
