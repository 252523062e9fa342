"""A process that must not outlive the one that started it, nor keep it from the cores."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent(expendable: int = 500) -> None:
    """SIGKILL when the starting thread ends; first choice when memory runs out: the more `expendable` (of 1000), the
    sooner. Source: prctl(2), proc(5)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError):  # a container's runtime may have set a higher one, which only it may lower
        score.write_text(str(max(expendable, int(score.read_text()))))


def yield_the_cores(nice: int) -> None:
    """Lower this process' priority; call it before any thread is started.

    A process that leads a session competes as a group of its own where the kernel groups sessions, whatever its nice
    value; so the group gets the same one. Source: sched(7), "The autogroup feature".
    """
    os.nice(nice)
    with suppress(OSError):  # no such kernel, or a container that may not: then the nice value counts
        Path("/proc/self/autogroup").write_text(str(nice))
