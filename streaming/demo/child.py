"""Child processes that never outlive the one that started them."""

import os
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
os.execvp(sys.argv[3], sys.argv[3:])
"""


def start_child(
    command: Sequence[str | Path],
    *,
    log: Path,
    death_signal: int,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, its output appended to `log`.

    It gets `death_signal` when the calling *thread* ends, so call this from the main thread.
    environment: added to this process's own. niceness: 0 to 19.
    """
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(int(death_signal)), str(os.getpid())]
    nice = ["nice", "-n", str(niceness)] if niceness else []
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launch, *nice, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )


def log_tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, Java's stack frames left out, for an error message; empty where there is none."""
    try:
        text = log.read_bytes()[-8192:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line and not line.startswith("\tat ")][-lines:])
