"""Runs the examination in a process of its own, and says what became of it, also when it hangs or dies."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

from streaming.doctor.examination import WITHIN_S, Range
from streaming.doctor.finding import Finding, Verdict, failed, skipped
from streaming.settings import Settings, revealed

LAST_WORDS = 300  # characters


EXAMINE = (sys.executable, "-m", "streaming", "examine")


def examine(settings: Settings, ranges: Sequence[Range], command: Sequence[str] = EXAMINE) -> Iterator[Finding]:
    """The findings, as they come. The child, which `command` starts, is gone afterwards."""
    with tempfile.TemporaryFile() as words, _Child(command, settings, ranges, words) as child:
        yield from child.findings()


class _Child:
    """words: gets what it writes to stdout and stderr."""

    def __init__(self, command: Sequence[str], settings: Settings, ranges: Sequence[Range], words: IO[bytes]) -> None:
        self._command = command
        self._asked = json.dumps({"settings": revealed(settings), "ranges": ranges}).encode() + b"\n"
        self._words = words
        self._received = b""

    def __enter__(self) -> "_Child":
        self._replies, theirs = os.pipe()
        self._process = subprocess.Popen(
            [*self._command, "--reply-fd", str(theirs)],
            stdin=subprocess.PIPE,
            stdout=self._words,
            stderr=self._words,
            pass_fds=(theirs,),
            start_new_session=True,
        )
        os.close(theirs)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin:  # that it is gone shows in what it doesn't answer
            self._process.stdin.write(self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._replies)

    def findings(self) -> Iterator[Finding]:
        """One for each check, also for those that it doesn't come to."""
        left, checking, within_s = list(WITHIN_S), "tensorflow", WITHIN_S["tensorflow"]
        while left and (line := self._line(within_s)) is not None:
            if not line:
                yield failed(checking, f"no end within {within_s:.0f} s", _HANGS.get(checking, "see the worker's log"))
                left.remove(checking)
                break
            if "begins" in line:
                checking, within_s = line["begins"], line["within_s"]
                continue
            finding = Finding(**line["finding"] | {"verdict": Verdict(line["finding"]["verdict"])})
            left.remove(finding.check)
            yield finding
        else:
            if checking in left and (how := self._death()):
                left.remove(checking)
                yield failed(checking, how, "native code crashes: see the worker's exit codes in the runbook")
        yield from (skipped(name, "what it needs has failed") for name in left)

    def _line(self, within_s: float) -> dict[str, Any] | None:
        """The next one; {} if none comes in time, None at the end."""
        while b"\n" not in self._received:
            if not select.select([self._replies], [], [], within_s)[0]:
                return {}
            if not (more := os.read(self._replies, 1 << 16)):
                return None
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _death(self) -> str | None:
        """How it ended, unless it had said all that it wanted."""
        code = self._process.wait()
        if code == 0:
            return None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip()[-LAST_WORDS:]
        return f"the process died of it ({how})" + (f": …{words}" if words else "")


_HANGS = {"reader": "this client waits for ever for a broker, a right or a certificate: set kafka.reader = confluent"}
