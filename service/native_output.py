"""What a worker's native code writes to its stderr, as log events: bounded in length and in rate, last words kept."""

import asyncio
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from streaming.native_lines import NativeLine, parsed

PIPE_BYTES = 1 << 20  # so much is written while this process is frozen, before the worker has to wait
MOST_BYTES = 1 << 16  # of a line
BURST, PER_S = 200, 20.0  # lines of each level
LAST_WORDS = 20

_log = structlog.get_logger()


class NativeOutput:
    """A pipe, read on the event loop from `open` to `close`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._descriptor: int | None = None
        self._received = b""
        self._budgets: dict[str, _Budget] = {}
        self._last: deque[str] = deque(maxlen=LAST_WORDS)

    def open(self) -> int:
        """The end to write to, which the caller closes once the worker has it."""
        self._descriptor, theirs = os.pipe()
        os.set_blocking(self._descriptor, False)
        with suppress(PermissionError):  # users' pipes have a limit in all: pipe(7)
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return theirs

    def last_words(self) -> list[str]:
        """The last lines that say something, and what has been written and not read so far: a pipe full at most, since
        a process that the worker left behind may write for ever."""
        for _ in range(PIPE_BYTES // MOST_BYTES):
            if self._descriptor is None or not self._read():
                break
        self._flush()
        return list(self._last)

    def close(self) -> None:
        """Nothing is read any more."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            for level, budget in self._budgets.items():
                _tell_dropped(level, budget)

    def _read(self) -> bool:
        """Whether there may be more."""
        assert self._descriptor is not None
        try:
            content = os.read(self._descriptor, MOST_BYTES)
        except BlockingIOError:
            return False
        if not content:
            self.close()
            self._flush()
            return False
        *lines, self._received = (self._received + content).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._received) > MOST_BYTES:
            self._flush()
        return True

    def _flush(self) -> None:
        line, self._received = self._received, b""
        if line:
            self._take(line)

    def _take(self, content: bytes) -> None:
        text = content.decode(errors="replace").rstrip()
        if not text:
            return
        line = parsed(text)
        if line.level != "debug":
            self._last.append(line.text)
        budget = self._budgets.setdefault(line.level, _Budget(self._clock))
        if not budget.take():
            return
        _tell_dropped(line.level, budget)
        _tell(line)


class _Budget:
    """So many lines at once, and then so many a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._at = clock()
        self._dropped = 0

    def take(self) -> bool:
        now = self._clock()
        self._left = min(BURST, self._left + PER_S * (now - self._at))
        self._at = now
        if self._left < 1:
            self._dropped += 1
            return False
        self._left -= 1
        return True

    def dropped(self) -> int:
        """Since the last time it was asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped


def _tell_dropped(level: str, budget: _Budget) -> None:
    if dropped := budget.dropped():
        _log.warning("native_output_dropped", process="worker", lines=dropped, of_level=level)


def _tell(line: NativeLine) -> None:
    say = {"debug": _log.debug, "info": _log.info, "warning": _log.warning, "error": _log.error}[line.level]
    where = {} if line.where is None else {"where": line.where}
    say("native_output", process="worker", writer=line.writer, text=line.text, **where)
