"""Finds the records that kill whoever decodes them: one by one, in a child process, after a native crash."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from streaming.decided import Owed
from streaming.decode_child import LENGTHS
from streaming.kafka.refetch import fetch_records
from streaming.settings import Settings, revealed

FIRST_S = 120.0  # the child imports the user's modules, and perhaps TensorFlow
PATIENCE_S = 30.0
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)

_log = structlog.get_logger()


class Suspect(NamedTuple):
    """A record that was being decoded when the worker died."""

    partition: int
    offset: int
    value: bytes
    key: bytes


def find_guilty(settings: Settings, places: Sequence[tuple[int, int]], *, labels: bool) -> list[Owed]:
    """Read the records at these (partition, offset) again and decode each; returns those that kill their process.

    Raises KafkaUnavailable.
    """
    found = fetch_records(settings.kafka, f"penstock-{settings.name}-suspects", places)
    suspects = [Suspect(*place, *found[place]) for place in places if place in found]
    guilty: list[Owed] = []
    while suspects:
        child = _Child(settings, labels=labels)
        survived = 0
        while survived < len(suspects) and child.survives(suspects[survived]):
            survived += 1
        code = child.end()
        for culprit in suspects[survived : survived + 1]:
            if -code in CRASHES:
                name = signal.Signals(-code).name
                guilty.append(Owed(culprit.partition, culprit.offset, f"the process that decodes it dies of {name}"))
            else:
                place = {"partition": culprit.partition, "offset": culprit.offset}
                _log.warning("suspect_undecided", **place, detail=f"the process that decodes it ends with {code}")
        # A child that ends in an orderly way before its time can't decode at all, and the next would do the same.
        suspects = suspects[survived + 1 :] if code < 0 else []
    _log.info("native_crash_searched", records=len(found), guilty=[[one.partition, one.offset] for one in guilty])
    return guilty


class _Child:
    """`python -m streaming decode`."""

    def __init__(self, settings: Settings, *, labels: bool) -> None:
        self._replies, theirs = os.pipe()
        command = [sys.executable, "-m", "streaming", "decode", "--reply-fd", str(theirs)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(theirs,))
        os.close(theirs)
        self._patience_s = FIRST_S
        self._write(json.dumps({"settings": revealed(settings), "labels": labels}).encode() + b"\n")

    def survives(self, one: Suspect) -> bool:
        """It has decoded the record; else it has died of it, or is killed because it doesn't come back."""
        self._write(LENGTHS.pack(len(one.value), len(one.key)) + one.value + one.key)
        ready, _, _ = select.select([self._replies], [], [], self._patience_s)
        self._patience_s = PATIENCE_S
        if not ready:
            self._process.kill()
        return bool(ready and os.read(self._replies, 1))

    def end(self) -> int:
        """Its exit code; negative: the signal of which it died."""
        with suppress(BrokenPipeError):
            self._process.communicate()
        os.close(self._replies)
        return self._process.returncode

    def _write(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # that it is gone shows in what it doesn't answer
            self._process.stdin.write(content)
            self._process.stdin.flush()
