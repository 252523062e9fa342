"""A record as it stands in Kafka, and the part of it that travels through the chain as one string of bytes.

That string, the record's *envelope*, holds what the value and key columns can't: headers, and whether value or key are
null. It costs one byte for a record without headers. No envelope (empty) means that the reader doesn't know.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

Header = tuple[str, bytes | None]

NULL_VALUE, NULL_KEY = 1, 2
NULL_LENGTH = 0xFFFFFFFF
_LENGTH = struct.Struct("<I")


class Original(NamedTuple):
    """What Kafka holds. headers: in their order, names may repeat; timestamp_ms: -1 = unknown."""

    value: bytes | None
    key: bytes | None
    headers: list[Header]
    timestamp_ms: int


def envelope(value: bytes | None, key: bytes | None, headers: Sequence[Header]) -> bytes:
    """One byte of flags, then for each header name and value, each behind its length."""
    flags = bytes([(NULL_VALUE if value is None else 0) | (NULL_KEY if key is None else 0)])
    if not headers:
        return flags
    return flags + b"".join(_sized(name.encode()) + _sized(content) for name, content in headers)


def opened(envelope: bytes, value: bytes, key: bytes, timestamp_ms: int) -> Original | None:
    """The inverse; value and key: as the columns have them, b"" for null. None for an empty envelope."""
    if not envelope:
        return None
    headers: list[Header] = []
    at = 1
    while at < len(envelope):
        name, at = _taken(envelope, at)
        content, at = _taken(envelope, at)
        assert name is not None, "a header without a name"
        headers.append((name.decode(), content))
    flags = envelope[0]
    return Original(None if flags & NULL_VALUE else value, None if flags & NULL_KEY else key, headers, timestamp_ms)


def _sized(content: bytes | None) -> bytes:
    return _LENGTH.pack(NULL_LENGTH) if content is None else _LENGTH.pack(len(content)) + content


def _taken(envelope: bytes, at: int) -> tuple[bytes | None, int]:
    (length,) = _LENGTH.unpack_from(envelope, at)
    begin = at + _LENGTH.size
    return (None, begin) if length == NULL_LENGTH else (envelope[begin : begin + length], begin + length)
