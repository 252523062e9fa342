"""Stops the worker before a whole topic is burnt through because a format or a setting is wrong. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from streaming.errors import TrainingStopped
from streaming.records.original import Original

FIRST = 50
WINDOW = 200
GOOD, BAD = "0", "1"  # one record each in the saved window, the oldest first


class BadRecord(NamedTuple):
    """A record that can't be used. reason: a slug; detail: one line; original: where the reader told all of it."""

    partition: int
    offset: int
    reason: str
    detail: str
    original: Original | None = None


class Breaker:
    """Bad records pass through it on their way to be settled.

    Until the first good record bad ones are held back, so that nothing is settled when the first 50 are all bad.
    proven: a good record has been seen in an earlier life. state: of that life, so that a restart forgets nothing.
    """

    def __init__(self, max_bad_fraction: float, *, proven: bool, state: Mapping[str, Any] | None = None) -> None:
        state = state or {"proven": False, "window": ""}
        self._limit = max_bad_fraction
        self._proven = proven or bool(state["proven"])
        self._held: list[BadRecord] = []
        self._window = deque((sign == BAD for sign in state["window"]), maxlen=WINDOW)

    def state(self) -> dict[str, Any]:
        """JSON values for the next life. What is held back isn't in it: it isn't settled, and is read again."""
        return {"proven": self._proven, "window": "".join(BAD if bad else GOOD for bad in self._window)}

    @property
    def holding(self) -> bool:
        """Bad records wait for a first good one."""
        return bool(self._held)

    def admit(self, good: int, bad: list[BadRecord]) -> list[BadRecord]:
        """Count a batch; returns the bad records that may be settled now. Raises TrainingStopped, and never for a
        batch without bad records."""
        self._proven = self._proven or good > 0
        if not self._proven:
            self._held += bad
            if len(self._held) >= FIRST:
                raise TrainingStopped(
                    "records-all-bad", f"the first {FIRST} records are all bad: {_reasons(self._held[:FIRST])}"
                )
            return []
        bad = self.release() + bad
        count = good + len(bad)  # spread evenly: a batch's order says nothing, and one may be larger than the window
        self._window.extend((n + 1) * len(bad) // count > n * len(bad) // count for n in range(count))
        if bad and len(self._window) == WINDOW and sum(self._window) > self._limit * WINDOW:
            raise TrainingStopped(
                "records-mostly-bad",
                f"{sum(self._window)} of the last {WINDOW} records are bad (records.max_bad_fraction {self._limit}); "
                f"lately: {_reasons(bad)}",
            )
        return bad

    def release(self) -> list[BadRecord]:
        """What was held back; for the end of a round, when no more records are there to judge by."""
        held, self._held = self._held, []
        return held


def _reasons(bad: list[BadRecord]) -> str:
    counts: dict[str, int] = {}
    for one in bad:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    listed = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items(), key=lambda item: -item[1]))
    return (
        f"{listed} (for example partition {bad[0].partition}, offset {bad[0].offset}: {bad[0].detail})"
        if bad
        else listed
    )
