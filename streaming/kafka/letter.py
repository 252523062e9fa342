"""What a dead letter holds: the original's key, value and headers, and beside them what went wrong and where. Pure.

Header names are those of Kafka Connect's DeadLetterQueueReporter. A letter can be written again after a crash: copies
carry the same `penstock.letter.id`, by which a reader drops them.
"""

from enum import StrEnum
from typing import NamedTuple

from streaming.records.breaker import BadRecord
from streaming.records.original import Original


class Missing(StrEnum):
    """Why a letter comes without its original: retention or compaction removed it, its broker's record can't be
    read, or it is larger than the letter topic takes. The header `penstock.value` says so."""

    GONE = "gone"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"


class Letter(NamedTuple):
    """value: b"" where the original's is missing, for null would delete an older letter of a compacted topic.
    own: how many of the headers, counted from the end, are ours."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    own: int


def letter_of(topic: str, topic_id: str, one: BadRecord, original: Original | Missing) -> Letter:
    """The letter of a bad record. An original's null header becomes an empty one: kafka-python sends no other."""
    headers = _own(topic, topic_id, one)
    if isinstance(original, Missing):
        return _missing(None, headers, original)
    # A header, not the letter's own timestamp: retention would delete a letter that is as old as its original.
    headers.append(("penstock.original.timestamp_ms", str(original.timestamp_ms).encode()))
    kept = [(name, content or b"") for name, content in original.headers]
    return Letter(original.key, original.value or b"", [*kept, *headers], len(headers))


def reduced(letter: Letter) -> Letter | None:
    """The same for a topic that takes no letter as large: without the value, then without the original's key and
    headers; None when nothing is left to leave out."""
    own = letter.headers[-letter.own :]
    if letter.value:
        return _missing(letter.key, letter.headers, Missing.TOO_LARGE, letter.own)
    if len(letter.headers) > letter.own or letter.key is not None:
        return letter._replace(key=None, headers=own)
    return None


def _missing(key: bytes | None, headers: list[tuple[str, bytes]], why: Missing, own: int | None = None) -> Letter:
    own = len(headers) if own is None else own
    return Letter(key, b"", [*headers, ("penstock.value", why.encode())], own + 1)


def _own(topic: str, topic_id: str, one: BadRecord) -> list[tuple[str, bytes]]:
    headers = {
        "penstock.letter.id": f"{topic_id}/{one.partition}/{one.offset}",
        "__connect.errors.topic": topic,
        "__connect.errors.partition": str(one.partition),
        "__connect.errors.offset": str(one.offset),
        "__connect.errors.connector.name": "penstock",
        "__connect.errors.task.id": "0",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "__connect.errors.class.name": "streaming.records.decode.Decoder",
        "__connect.errors.exception.class.name": one.reason,
        "__connect.errors.exception.message": one.detail,
    }
    return [(name, text.encode(errors="replace")) for name, text in headers.items()]
