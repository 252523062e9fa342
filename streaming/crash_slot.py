"""Which records are being decoded at this moment: a memory-mapped file that survives a crash in native code.

Plain stores into a shared mapping reach the file whatever becomes of the process. int64 throughout: a header of
(format, slots, capacity), then for each slot (records, row being decoded) and as many (partition, offset).
"""

import mmap
import os
import queue
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import structlog

from streaming.arrays import Array

FORMAT = 0x50534C4F54310001
HEADER, HEAD = 3, 2

# (partition, offset: int64[N] each) -> a context, and in it a function to be told which row comes next.
Noting = Callable[[Array, Array], AbstractContextManager[Callable[[int], None]]]

_log = structlog.get_logger()


def _nobody(_row: int) -> None:
    return


@contextmanager
def unnoted(_partition: Array, _offset: Array) -> Iterator[Callable[[int], None]]:
    """`Noting` for those who need none."""
    yield _nobody


class DecodingSlots:
    """A slot for each call that decodes; thread-safe. capacity: most records of one call."""

    def __init__(self, path: Path, slots: int, capacity: int) -> None:
        self._path = path
        self._slots = slots
        self._capacity = capacity
        self._words = HEAD + 2 * capacity
        self._free: queue.SimpleQueue[Array] = queue.SimpleQueue()

    def open(self) -> Noting:
        """Begin with empty slots. A disk without room for them is logged: records are then decoded unnoted."""
        words = HEADER + self._slots * self._words
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                os.posix_fallocate(descriptor, 0, 8 * words)  # a hole that can't be filled later would be a SIGBUS
                mapping = mmap.mmap(descriptor, 8 * words)
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.warning("decoding_unnoted", file=str(self._path), detail=error.strerror)
            return unnoted
        whole = np.frombuffer(mapping, np.int64)
        whole[:HEADER] = FORMAT, self._slots, self._capacity
        for slot in whole[HEADER:].reshape(self._slots, self._words):
            self._free.put(slot)
        return self._noted

    @contextmanager
    def _noted(self, partition: Array, offset: Array) -> Iterator[Callable[[int], None]]:
        slot, count = self._free.get(), len(offset)
        slot[HEAD : HEAD + 2 * count : 2] = partition
        slot[HEAD + 1 : HEAD + 1 + 2 * count : 2] = offset
        slot[1] = 0
        slot[0] = count

        def at(row: int) -> None:
            slot[1] = row

        try:
            yield at
        finally:
            slot[0] = 0
            self._free.put(slot)


def interrupted(path: Path) -> list[tuple[int, int]]:
    """(partition, offset) of all that was being decoded, the rows that were at work first; empty for no such file."""
    try:
        words = np.frombuffer(path.read_bytes(), np.int64)
    except (OSError, ValueError):
        return []
    if len(words) < HEADER or words[0] != FORMAT or len(words) != HEADER + words[1] * (HEAD + 2 * words[2]):
        return []
    first: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for slot in words[HEADER:].reshape(words[1], HEAD + 2 * words[2]).tolist():
        count, row, *places = slot
        for number, place in enumerate(zip(places[0 : 2 * count : 2], places[1 : 2 * count : 2], strict=True)):
            (first if number == row else rest).append(place)
    return list(dict.fromkeys(first + rest))  # a dropped round may still decode what the next one decodes, too
