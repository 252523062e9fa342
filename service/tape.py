"""A bounded tape of numbered items: whoever reads it remembers how far, and misses only what has run off its end."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Numbered(NamedTuple, Generic[Item]):
    number: int
    item: Item


class Tape(Generic[Item]):
    """Numbers begin with 1."""

    def __init__(self, kept: int) -> None:
        self._items: deque[Numbered[Item]] = deque(maxlen=kept)
        self.newest = 0

    def add(self, item: Item) -> None:
        self.newest += 1
        self._items.append(Numbered(self.newest, item))

    def after(self, number: int) -> list[Numbered[Item]]:
        """What came after that one, the oldest first."""
        return [each for each in self._items if each.number > number]
