"""Requests to a server from outside: paced ones, all at once, and such that never end."""

import http.client
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.line.line import nap


class Answer(NamedTuple):
    """seconds: from the request's first byte to the answer's last."""

    path: str
    status: int
    seconds: float


class Client:
    """One connection that is kept, as a probe's or Prometheus'; made anew when the other side has closed it."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), int(address.port or 80), timeout=30)

    def ask(self, method: str, path: str, body: bytes | None = None, token: str = "") -> tuple[Answer, bytes]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        began = time.perf_counter()
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (ConnectionError, http.client.HTTPException):
            self._connection.close()
            return Answer(path, 0, time.perf_counter() - began), b""
        return Answer(path, answer.status, time.perf_counter() - began), content

    def close(self) -> None:
        self._connection.close()


def paced(url: str, asked: Sequence[tuple[str, str]], per_s: float, seconds: float) -> list[Answer]:
    """Methods and paths in turn, so many a second, whatever the answers take."""
    client, answers, began = Client(url), [], time.monotonic()
    for number, (method, path) in enumerate(itertools.cycle(asked)):
        due = began + number / per_s
        if due >= began + seconds:
            break
        nap(max(0.0, due - time.monotonic()))
        answers.append(client.ask(method, path)[0])
    client.close()
    return answers


def at_once(url: str, count: int, path: str, token: str = "") -> list[tuple[Answer, bytes]]:
    """POST from so many connections in the same moment."""
    barrier = threading.Barrier(count)

    def one(_: int) -> tuple[Answer, bytes]:
        client = Client(url)
        barrier.wait()
        try:
            return client.ask("POST", path, b"", token)
        finally:
            client.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


class Listeners:
    """Connections that read /v1/events for as long as this is open. taken_bytes: of all of them together."""

    def __init__(self, url: str, count: int) -> None:
        self._address = urlsplit(url)
        self._count = count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.taken_bytes = 0

    def __enter__(self) -> "Listeners":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            where = (str(self._address.hostname), int(self._address.port or 80))
            for _ in range(self._count):
                one = stack.enter_context(socket.create_connection(where, timeout=30))
                one.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                selector.register(one, selectors.EVENT_READ, one)
            while not self._over.is_set():
                for key, _ in selector.select(0.1):
                    taken = key.data.recv(1 << 16)
                    assert taken, "the service has closed a stream"
                    self.taken_bytes += len(taken)


class Drip:
    """Connections whose request never ends: a byte of its head every now and then. closed: how many were cut off."""

    def __init__(self, url: str, count: int) -> None:
        self._address = urlsplit(url)
        self._count = count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.closed = 0

    def __enter__(self) -> "Drip":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with ExitStack() as stack:
            where = (str(self._address.hostname), int(self._address.port or 80))
            sockets = [stack.enter_context(socket.create_connection(where, timeout=30)) for _ in range(self._count)]
            for each in sockets:
                each.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            while not self._over.wait(1):
                left = []
                for each in sockets:
                    try:
                        each.sendall(b"x")
                        left.append(each)
                    except OSError:
                        self.closed += 1
                sockets = left
