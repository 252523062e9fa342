"""The worker's end of the socketpair: messages out at once, commands in through a queue, end of file means death."""

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from pydantic import BaseModel

from streaming.control.messages import Configure, Shutdown, ToWorker, decode_to_worker, encode

ORPHANED = 71  # exit code of a worker whose sidecar has gone


class Channel:
    """One JSON message a line. `send` and `commands` belong to the main thread.

    on_command is called on the reading thread after each command, to wake whoever waits. obeyed: the main thread's loop
    runs and takes commands; otherwise there is nothing to save, and a Shutdown ends the process at once.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lines = self._socket.makefile("rb")
        self._commands: queue.Queue[ToWorker] = queue.Queue(1024)
        self._on_command: Callable[[], None] = lambda: None
        self.obeyed = False

    def configuration(self) -> Configure:
        """The first message; blocks until it is there."""
        first = self._lines.readline()
        if not first:
            os._exit(ORPHANED)
        message = decode_to_worker(first)
        assert isinstance(message, Configure), f"the first message is {message.kind}"
        return message

    def start(self, on_command: Callable[[], None]) -> None:
        """Begin to read commands on a thread."""
        self._on_command = on_command
        threading.Thread(target=self._read, name="channel", daemon=True).start()

    def next_configuration(self) -> Configure:
        """That of a parked worker; blocks until it is there. What was said before it is in it."""
        while not isinstance(message := self._commands.get(), Configure):
            continue
        return message

    def send(self, message: BaseModel) -> None:
        """Raises nothing: a sidecar that has gone ends this process."""
        try:
            self._socket.sendall(encode(message))
        except OSError:
            os._exit(ORPHANED)

    def commands(self) -> Iterator[ToWorker]:
        """What has arrived since the last call."""
        with suppress(queue.Empty):
            while True:
                yield self._commands.get_nowait()

    def _read(self) -> None:
        with suppress(OSError):
            for line in self._lines:
                command = decode_to_worker(line)
                if isinstance(command, Shutdown) and not self.obeyed:
                    os._exit(0)
                self._commands.put(command)
                self._on_command()
        os._exit(ORPHANED)
