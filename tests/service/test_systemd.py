"""What systemd is told, on a socket like its own."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import eventually
from tests.service.test_process import process, state


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def until(systemd: socket.socket, word: str) -> list[str]:
    """Lines up to the message with that one."""
    lines: list[str] = []
    while word not in lines:
        lines += systemd.recv(4096).decode().splitlines()
    return lines


def test_systemd_hears_that_it_is_ready_alive_and_stopping(systemd: socket.socket, tmp_path: Path) -> None:
    with process(tmp_path, "well") as (one, url):
        told = until(systemd, "READY=1")
        assert told[0].startswith("STATUS=starting")
        eventually(lambda: state(url) == "training")
        assert "WATCHDOG=1" in until(systemd, "STATUS=training")
        one.send_signal(signal.SIGTERM)
        assert "READY=1" not in until(systemd, "STOPPING=1")
        assert one.wait(10) == 0


def test_a_service_that_cannot_help_itself_lets_systemds_watchdog_bite(systemd: socket.socket, tmp_path: Path) -> None:
    with process(tmp_path, "well") as (one, _):
        until(systemd, "READY=1")
        one.send_signal(signal.SIGSTOP)
        systemd.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while systemd.recv(4096):
                continue
        systemd.settimeout(3)
        with pytest.raises(TimeoutError):
            systemd.recv(4096)
        one.send_signal(signal.SIGCONT)
        systemd.settimeout(20)
        until(systemd, "WATCHDOG=1")
