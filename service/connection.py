"""One client's connection: uvicorn's, with an end to how long and how much a client keeps it waiting.

Measured on uvicorn 0.54 as it is: a request whose head or body never ends, and an answer that nobody takes, are waited
for without an end (`timeout_keep_alive` counts between requests only), and its `limit_concurrency` answers 503 in plain
text, to probes as well.
"""

import asyncio
import sys
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.problem_details import MEDIA_TYPE, details

HEAD_BYTES = 16 << 10
HEAD_PIECE_BYTES = 1 << 10
CONNECTIONS = 512
LEAST_TAKEN_BYTES = 64 << 10  # of an answer, within the time


class Connection(H11Protocol):
    """patience_s: the time for a request to arrive, head and body, and for 64 KiB of an answer to be taken.

    When there are too many connections, the one that has been waiting for its request the longest is dropped: a flood
    of idle ones doesn't keep a probe out.
    """

    def __init__(self, *args: Any, patience_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._patience_s = patience_s
        self._due: asyncio.TimerHandle | None = None
        self._insisting: asyncio.TimerHandle | None = None
        self._untaken = 0

    @property
    def waits_until(self) -> float | None:
        """When its request is due, on the loop's clock; None while none is."""
        return None if self._due is None else self._due.when()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        # So that an answer which isn't taken is noticed; with 0 asyncio's TLS would pause before anything was written.
        transport.set_write_buffer_limits(high=1)
        self._make_room()
        self._expect()

    def data_received(self, data: bytes) -> None:
        """h11 measures a head only while it isn't complete, and one that comes at once would never be measured."""
        while data and not self.transport.is_closing():
            some = HEAD_PIECE_BYTES if self.conn.their_state is h11.IDLE else len(data)
            super().data_received(data[:some])
            data = data[some:]
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._due, self._insisting):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.transport.get_write_buffer_size()
        self._insisting = self.loop.call_later(self._patience_s, self._insist)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._insisting is not None:
            self._insisting.cancel()

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it with h11's error in hand."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(status, "headers-too-large", f"the head of a request may have {HEAD_BYTES} bytes")
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "bad-request", "this is no HTTP/1.1 request")

    def _expect(self) -> None:
        """While a request is arriving, or the next one is awaited, there is a time when it is due."""
        awaited = self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing()
        if awaited and self._due is None:
            self._due = self.loop.call_later(self._patience_s, self._overdue)
        elif not awaited and self._due is not None:
            self._due.cancel()
            self._due = None

    def _overdue(self) -> None:
        self._due = None
        if self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            text = f"the request did not arrive within {self._patience_s:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", text)
        else:
            self.transport.abort()

    def _insist(self) -> None:
        untaken = self.transport.get_write_buffer_size()
        if untaken > self._untaken - LEAST_TAKEN_BYTES:
            self.transport.abort()  # close() would wait for it
        else:
            self._untaken = untaken
            self._insisting = self.loop.call_later(self._patience_s, self._insist)

    def _make_room(self) -> None:
        if len(self.connections) <= CONNECTIONS:
            return
        waiting = [each for each in self.connections if isinstance(each, Connection) and each.waits_until is not None]
        victim = min(waiting, key=lambda each: each.waits_until or 0.0, default=self)
        victim.transport.abort()

    def _refuse(self, status: HTTPStatus, slug: str, detail: str) -> None:
        """Answer in place of the application, unless it has begun to, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = details(status, slug, detail).model_dump_json(exclude_defaults=True).encode()
        headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")]
        answer = h11.Response(status_code=status.value, headers=headers, reason=status.phrase)
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
