"""strace as the hand that kills or fails a process at a system call of one's choice."""

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.line.line import nap

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
_CALL = re.compile(r"(\w+)\((.*)")
_WAITING = ("23", "270")  # select, pselect6 on x86-64
_AROUND = ("select", "pselect6", "restart_syscall", "exit_group")  # waiting for the start, and the end


class Call(NamedTuple):
    """A system call as traced. number: among those of its name, counted from 1; text: the rest of its line."""

    name: str
    number: int
    text: str


class SaveServer:
    """`tests.faults.saves`, started once and asked for a child a fault, because Python starts slowly."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.saves"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def save(self, directory: Path, log: Path, *inject: str) -> int:
        """The exit code of a child that saves under strace; inject: as strace's `-e inject=` takes it."""
        pid = self._ask(str(directory))
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}/syscall").read_text().split()[0] not in _WAITING:
            assert time.monotonic() < deadline, "the child never waited for its start"
            nap(0.002)
        with attached(pid, log, *inject):
            return self._ask("go")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def attached(pid: int, log: Path, *inject: str) -> Iterator[None]:
    """strace on a process and all its threads; at the end it lets go, or has ended with the process."""
    options = [part for one in inject for part in ("-e", f"inject={one}")]
    traced = (
        [part for one in inject for part in ("-e", f"trace={one.partition(':')[0]}")]
        if log == Path("/dev/null")
        else []
    )
    command = ["strace", "-f", "-y", "-o", str(log), *traced, *options, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        yield
        strace.terminate()
        strace.stderr.read()


def calls(log: Path) -> list[Call]:
    """What a process with one thread did, in order; its exit isn't among it."""
    seen: Counter[str] = Counter()
    found = []
    for line in log.read_text().splitlines():
        match = _CALL.search(line)
        if match and match[1] not in _AROUND:
            seen[match[1]] += 1
            found.append(Call(match[1], seen[match[1]], match[2]))
    return found
