"""Child processes that never outlive the one that started them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# PR_SET_PDEATHSIG (prctl(2)) survives exec. Set by the child itself, so that no code of ours runs between fork
# and exec of a process that has threads. The check closes the gap in which the parent died before the call.
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
if os.getppid() != int(sys.argv[2]):
    sys.exit("parent is gone")
os.nice(int(sys.argv[3]))
os.execvp(sys.argv[4], sys.argv[4:])
"""


def start_child(
    command: Sequence[str | Path],
    *,
    log: Path,
    death_signal: int = signal.SIGKILL,
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its stderr appended to `log`, its stdout to `output` (None: `log`).

    It gets `death_signal` when the calling *thread* ends, so call this from the main thread.
    environment: all of it; None: this process's own. niceness: 0 to 19.
    """
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(int(death_signal)), str(os.getpid()), str(niceness)]
    with log.open("ab") as errors, (output or log).open("ab") as results:
        return subprocess.Popen(
            [*launch, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=results,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )


def stop_child(child: subprocess.Popen[bytes], timeout_s: float) -> int:
    """SIGTERM, and SIGKILL for the whole process group when that takes longer; the exit code."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def log_tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, Java's stack frames left out, for an error message; empty where there is none."""
    try:
        text = log.read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line and not line.startswith("\tat ")][-lines:])
