"""What needs TensorFlow and isn't the worker's: done by a process for just that, beside the training."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import structlog

from service.problem_details import details
from service.work_desk import Interrupted, Refused
from streaming.control.errands import Answer, Asked, Errand, Refusal, decode_answer

ERRAND = (sys.executable, "-m", "streaming")
MOST_BYTES = 1 << 16  # kept of what it says
LAST_WORDS_S = 1.0  # what it has started may still hold the pipe
_log = structlog.get_logger()


class Errands:
    """Starts a process for each errand, and kills it when it takes too long or the service ends.

    command: what starts one; the errand's kind is added. configuration: tells the settings that it receives, secrets in
    clear, over its standard input. It dies with this process.
    """

    def __init__(self, command: Sequence[str], configuration: Callable[[], Mapping[str, Any]], limit_s: float) -> None:
        self._command = command
        self._configuration = configuration
        self._limit_s = limit_s
        self._running: set[Process] = set()
        self._closed = False

    async def run(self, errand: Errand) -> Answer:
        """What it answered. Raises Refused with what kept it from it, Interrupted when the service ends."""
        if self._closed:
            raise Interrupted
        began = time.monotonic()
        try:
            process = await self._start(errand)
        except OSError as error:
            raise _failed(errand, f"its process could not be started: {error.strerror}") from error
        _log.info("errand_begun", errand=errand.kind, pid=process.pid)
        asked = Asked(errand=errand, settings=dict(self._configuration()), parent=os.getpid())
        said, words, late = await self._hear(process, asked.model_dump_json().encode())
        _log.info("errand_ended", errand=errand.kind, pid=process.pid, seconds=round(time.monotonic() - began, 1))
        with suppress(ValueError):
            return _taken(errand, decode_answer(said))
        if self._closed:
            raise Interrupted
        _log.error("errand_failed", errand=errand.kind, exit_code=process.returncode, words=words[-4096:])
        raise _failed(errand, self._last_words(process, words, late))

    def close(self) -> None:
        """End whatever is under way, and begin nothing more."""
        self._closed = True
        for process in self._running:
            _kill(process)

    async def _start(self, errand: Errand) -> Process:
        """Raises OSError. On the thread with which it is to die (prctl(2), PR_SET_PDEATHSIG): the event loop's."""
        process = await asyncio.create_subprocess_exec(
            *self._command, errand.kind, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        self._running.add(process)
        if self._closed:  # meanwhile
            _kill(process)
        return process

    async def _hear(self, process: Process, question: bytes) -> tuple[bytes, str, bool]:
        """What it answered, its last words on stderr, and whether it was killed for taking too long; it is reaped."""
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said, words = bytearray(), bytearray()
        hearing = [asyncio.create_task(_keep(*each)) for each in ((process.stdout, said), (process.stderr, words))]
        late = False
        with suppress(ConnectionError):  # it may have ended without listening
            process.stdin.write(question)
            process.stdin.close()
        try:
            async with asyncio.timeout(self._limit_s):
                await process.wait()
        except TimeoutError:
            late = True
        finally:
            _kill(process)
            await process.wait()
            self._running.discard(process)
        await asyncio.wait(hearing, timeout=LAST_WORDS_S)
        for task in hearing:
            task.cancel()
        return bytes(said), words.decode(errors="replace"), late

    def _last_words(self, process: Process, words: str, late: bool) -> str:
        if late:
            return f"its process was killed after {self._limit_s:g} s, export.timeout_s"
        code = process.returncode or 0
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        memory = ", as when memory runs out" if code == -signal.SIGKILL else ""
        last = next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "")
        return f"its process ended with {how}{memory}" + (f": {last}" if last else "")


def _taken(errand: Errand, answer: Answer) -> Answer:
    """Raises Refused for one that says why not."""
    if not isinstance(answer, Refusal):
        return answer
    if answer.problem is None:
        raise _failed(errand, answer.detail)
    raise Refused(details(HTTPStatus.CONFLICT, answer.problem, answer.detail))


def _failed(errand: Errand, detail: str) -> Refused:
    return Refused(details(HTTPStatus.SERVICE_UNAVAILABLE, f"{errand.kind}-failed", detail))


async def _keep(stream: asyncio.StreamReader, kept: bytearray) -> None:
    """The last bytes of all that comes."""
    while some := await stream.read(MOST_BYTES):
        kept += some
        del kept[:-MOST_BYTES]


def _kill(process: Process) -> None:
    """With whatever it has started: it leads a process group of its own."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
