"""A real socketpair and a real process, which dies when the other end is closed."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streaming.control.channel import ORPHANED
from streaming.control.messages import (
    Configure,
    Finished,
    Pause,
    Resume,
    Save,
    decode_to_sidecar,
    decode_to_worker,
    encode,
)

DEADLINE_S = 20.0
# Tells what it is configured with, then every command that it gets, in the order in which it gets them.
WORKER = """
import sys, threading
from streaming.control.channel import Channel
from streaming.control.messages import Finished, encode

def tell(message):
    channel.send(Finished(checkpoint_id=encode(message).decode()))

channel, woken = Channel(int(sys.argv[1])), threading.Event()
if sys.argv[2] == "configured":
    tell(channel.configuration())
    channel.start(woken.set)
while True:
    if sys.argv[2] == "chattering":
        channel.send(Finished(checkpoint_id="more"))
    else:
        woken.wait()
        woken.clear()
    for command in channel.commands():
        tell(command)
"""
SILENT = "from streaming.control.channel import Channel; Channel(int(__import__('sys').argv[1])).configuration()"


@contextmanager
def worker(doing: str, script: str = WORKER) -> Iterator[tuple[socket.socket, "subprocess.Popen[bytes]"]]:
    """The sidecar's end, and the process that holds the other one."""
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_S)
    arguments = [sys.executable, "-c", script, str(theirs.fileno()), doing]
    with ours, subprocess.Popen(arguments, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield ours, process
        finally:
            process.kill()


def test_commands_arrive_in_order_and_wake_the_loop() -> None:
    sent = [
        Configure(settings={"name": "t", "text": "a\nb"}, epoch=1),
        Pause(),
        Save(request_id="r", label="the\nlabel"),
        Resume(),
    ]
    with worker("configured") as (ours, process), ours.makefile("rb") as lines:
        for message in sent:
            ours.sendall(encode(message))
            told = decode_to_sidecar(lines.readline())
            assert isinstance(told, Finished)
            assert decode_to_worker(told.checkpoint_id.encode()) == message
        ours.sendall(b"".join(encode(Save(request_id=str(number))) for number in range(500)))
        for number in range(500):
            told = decode_to_sidecar(lines.readline())
            assert isinstance(told, Finished)
            assert decode_to_worker(told.checkpoint_id.encode()) == Save(request_id=str(number))
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(DEADLINE_S) == ORPHANED


@pytest.mark.parametrize(("doing", "script"), [("waiting to be configured", SILENT), ("chattering", WORKER)])
def test_a_worker_whose_sidecar_has_gone_ends(doing: str, script: str) -> None:
    with worker(doing, script) as (ours, process):
        ours.close()
        assert process.wait(DEADLINE_S) == ORPHANED
