"""How much, how long and how many: what one client can't do to the service, over real sockets."""

import resource
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from service.connection import CONNECTIONS
from tests.certificates import Authority
from tests.line.line import nap
from tests.service.conftest import Sidecar, SidecarFactory, eventually
from tests.service.test_http import assert_problem
from tests.service.test_process import process

PATIENCE_S = 0.5
LATE_S = 5.0


class Answer(NamedTuple):
    """What came until the other end closed; seconds it took."""

    text: str
    seconds: float

    @property
    def status(self) -> int:
        return int(self.text.split(" ")[1])


def connect(one: Sidecar, cafile: Path | None = None) -> socket.socket:
    url = httpx.URL(one.url)
    plain = socket.create_connection((url.host, url.port), timeout=LATE_S)
    if cafile is None:
        return plain
    return ssl.create_default_context(cafile=cafile).wrap_socket(plain, server_hostname=url.host)


def told(connection: socket.socket) -> Answer:
    """Reads to the end."""
    began, found = time.monotonic(), b""
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            found += part
    return Answer(found.decode(), time.monotonic() - began)


def assert_refused(answer: Answer, status: HTTPStatus, slug: str) -> None:
    head, _, body = answer.text.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status.value} "), answer.text
    assert "content-type: application/problem+json" in head.lower()
    assert f"urn:penstock:problem:{slug}" in body


def post(length: int) -> bytes:
    return (
        b"POST /v1/checkpoints HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


@pytest.fixture(params=["http", "https"])
def hasty(request: pytest.FixtureRequest, sidecar: SidecarFactory, tmp_path: Path) -> tuple[Sidecar, Path | None]:
    """A service that waits for half a second, and the CA of its certificate."""
    if request.param == "http":
        return sidecar("well", request_timeout_s=PATIENCE_S), None
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("server", "localhost", "127.0.0.1")
    tls = {"tls_certfile": pair.certfile, "tls_keyfile": pair.keyfile}
    return sidecar("well", request_timeout_s=PATIENCE_S, **tls), authority.cafile


@pytest.mark.parametrize("path", ["/v1/checkpoints", "/v1/pause", "/nowhere", "/v1/dead-letters/requeue"])
def test_a_body_over_a_mebibyte_is_413(training: Sidecar, path: str) -> None:
    answer = training.http.post(path, content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    assert_problem(answer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large")


@pytest.mark.parametrize("path", ["/v1/checkpoints", "/v1/dead-letters/requeue"])
def test_a_body_that_does_not_say_how_long_it_is_gets_no_further(training: Sidecar, path: str) -> None:
    chunks = (b" " * 65_536 for _ in range(32))
    answer = training.http.post(path, content=chunks, headers={"Content-Type": "application/json"})
    assert_problem(answer, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large")


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"x" * (1 << 20), b"X: y\r\n" * 50_000, b"X: " + b"x" * (18 << 10) + b"\r\n\r\n"],
    ids=["one header", "many headers", "complete at once"],
)
def test_a_head_over_16_kib_is_431(training: Sidecar, head: bytes) -> None:
    with connect(training) as connection:
        with suppress(OSError):  # it doesn't wait for the end
            connection.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" + head)
        assert_refused(told(connection), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large")


def test_a_head_of_15_kib_and_a_request_behind_it_are_answered(training: Sidecar) -> None:
    with connect(training) as connection:
        long = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (15 << 10) + b"\r\n\r\n"
        connection.sendall(long + b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(1 << 16), b"")).count(b"HTTP/1.1 200 OK") == 2


def test_what_is_no_http_is_400_as_every_other_error(training: Sidecar) -> None:
    with connect(training) as connection:
        connection.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00")
        assert_refused(told(connection), HTTPStatus.BAD_REQUEST, "bad-request")


@pytest.mark.parametrize(
    "beginning",
    [b"GET /v1/status HTT", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: ", post(100) + b"{"],
    ids=["request line", "headers", "body"],
)
def test_a_request_that_does_not_end_is_408(hasty: tuple[Sidecar, Path | None], beginning: bytes) -> None:
    with connect(*hasty) as connection:
        connection.sendall(beginning)
        answer = told(connection)
    assert_refused(answer, HTTPStatus.REQUEST_TIMEOUT, "request-timeout")
    assert answer.seconds < PATIENCE_S + 1


def test_a_request_that_drips_is_408_all_the_same(hasty: tuple[Sidecar, Path | None]) -> None:
    with connect(*hasty) as connection:
        connection.settimeout(0.05)
        began, answer = time.monotonic(), b""
        connection.sendall(b"GET /v1/status HTTP/1.1\r\n")
        while not answer and time.monotonic() < began + LATE_S:
            with suppress(TimeoutError):
                answer = connection.recv(1 << 16)
            with suppress(OSError):
                connection.sendall(b"X: y\r\n")
        assert b" 408 " in answer
        assert time.monotonic() - began < PATIENCE_S + 1


def test_a_connection_that_says_nothing_is_closed(hasty: tuple[Sidecar, Path | None]) -> None:
    with connect(*hasty) as connection:
        answer = told(connection)
        assert answer.text == ""
        assert answer.seconds < PATIENCE_S + 1


def test_an_answer_that_nobody_takes_is_given_up(hasty: tuple[Sidecar, Path | None]) -> None:
    """Without an end to that, each such client would hold its answer in memory for ever."""
    one, cafile = hasty
    with connect(one, cafile) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with suppress(OSError):  # BrokenPipe, reset or timeout, whichever comes first
            for _ in range(2000):  # of 150 KB each: more than all buffers between here and there hold
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: one.connections == 0, LATE_S)


def test_a_slow_reader_gets_all_of_its_answers(hasty: tuple[Sidecar, Path | None]) -> None:
    """For three times as long as a request may take."""
    one, cafile = hasty
    with connect(one, cafile) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        found, began = b"", time.monotonic()
        while found.count(b"HTTP/1.1 200 OK") < 50:
            part = connection.recv(1 << 15)
            assert part, f"cut after {len(found)} bytes"
            found += part
            nap(max(0.0, began + 3 * PATIENCE_S * len(found) / (50 * 55_000) - time.monotonic()))
    assert time.monotonic() - began > 2 * PATIENCE_S


def test_beyond_so_many_requests_it_is_429_and_probes_still_answer(sidecar: SidecarFactory) -> None:
    one = sidecar("well", max_requests=3)
    one.reach("training")
    with ExitStack() as stack:
        held = [stack.enter_context(connect(one)) for _ in range(3)]
        for connection in held:
            connection.sendall(post(100) + b"{")
        refused = eventually(lambda: (answer := one.http.get("/v1/status")).status_code != 200 and answer)
        assert_problem(refused, HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert one.http.post("/v1/pause").status_code == 429
        for path in ("/livez", "/readyz", "/startupz", "/metrics"):
            assert one.http.get(path).status_code == 200
    assert eventually(lambda: one.http.get("/v1/status").status_code == 200)


def test_a_flood_of_idle_connections_keeps_no_probe_out(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip("needs 8,192 descriptors")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 100, hard))  # the service raises it
        with process(tmp_path, "well") as (_, url), ExitStack() as stack:
            resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
            address = httpx.URL(url).host, httpx.URL(url).port
            for _ in range(2 * CONNECTIONS):
                connection = stack.enter_context(socket.create_connection(address, timeout=LATE_S))
                connection.sendall(b"GET /v1")
            assert httpx.get(f"{url}/livez", timeout=LATE_S).status_code == 200
            assert httpx.get(f"{url}/v1/status", timeout=LATE_S).status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
