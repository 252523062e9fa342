"""One worker process and the channel to it: a socketpair that carries one JSON message a line."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError

from service.native_output import NativeOutput
from streaming.control.messages import ToSidecar, ToWorker, decode_to_sidecar, encode
from streaming.settings_sources import secret_variables

MAX_LINE_BYTES = 16 << 20


class WorkerLink(asyncio.Protocol):
    """Starts a worker, talks to it, kills it, reaps it. Everything happens on the event loop's thread.

    Whoever listens is told each message, and when the channel has closed or the process has ended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._on_message: Callable[[ToSidecar], None] = lambda _: None
        self._on_change: Callable[[], None] = lambda: None
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._exit_descriptor = -1
        self._output = NativeOutput()
        self._received = bytearray()
        self.closed = False
        self.fault: str | None = None

    def listen(self, on_message: Callable[[ToSidecar], None], on_change: Callable[[], None]) -> None:
        """From now on; a worker that was parked has another listener afterwards."""
        self._on_message, self._on_change = on_message, on_change

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> int:
        """Start the process in a session of its own; its pid. Raises OSError.

        The event loop's thread must be the main thread: a worker that asks the kernel to be killed with its
        parent is killed when the *thread* that started it ends (prctl(2), PR_SET_PDEATHSIG).
        """
        ours, theirs = socket.socketpair()
        stderr = self._output.open()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*self._command, "--channel-fd", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stderr=stderr,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=_without_secrets(os.environ),
                )
            except OSError:
                ours.close()
                self._output.close()
                raise
            finally:
                os.close(stderr)
        self._exit_descriptor = os.pidfd_open(self._process.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._exit_descriptor, self._reap)
        self._transport, _ = await loop.create_connection(lambda: self, sock=ours)
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it. Once it is set the process has been reaped."""
        return self._process.returncode if self._process else None

    def last_words(self) -> list[str]:
        """The newest lines of its stderr, those aside that are known to mean nothing."""
        return self._output.last_words()

    def send(self, message: ToWorker) -> bool:
        """Whether the message went on its way; False when the worker is gone."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(encode(message))
        return True

    def kill(self) -> None:
        """SIGKILL for the worker and whatever it started. It isn't reaped yet, so the pid can't be another's."""
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            return
        asyncio.get_running_loop().remove_reader(self._exit_descriptor)
        os.close(self._exit_descriptor)
        self._on_change()

    def close(self) -> None:
        self._output.close()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        searched = len(self._received)
        self._received += data
        while (end := self._received.find(b"\n", searched)) >= 0:
            line, searched = bytes(self._received[:end]), 0
            del self._received[: end + 1]
            self._take(line)
        if len(self._received) > MAX_LINE_BYTES:
            self._refuse(f"a line of more than {MAX_LINE_BYTES} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._on_change()

    def _take(self, line: bytes) -> None:
        if self.fault is not None:
            return
        try:
            message = decode_to_sidecar(line)
        except ValidationError as error:
            self._refuse(f"not a message: {line[:200]!r}: {error.errors(include_url=False)[0]['msg']}")
        else:
            self._on_message(message)

    def _refuse(self, fault: str) -> None:
        self.fault = fault
        self.kill()


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The worker gets its settings over the channel, and user code that prints its environment no secrets."""
    secrets = set(secret_variables().values())
    return {name: value for name, value in environment.items() if name.upper() not in secrets}
