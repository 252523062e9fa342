"""What the worker counts: data in status frames, which the sidecar exports under Prometheus names."""

from collections import deque

from streaming.control.messages import Sample

MOST_OBSERVATIONS = 2000  # between two frames, which are 50 ms to 1 s apart


class Tally:
    """Counters since this worker started, and histogram observations since the last frame."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], float] = {}
        self._observations: dict[str, deque[float]] = {}

    def add(self, name: str, amount: float = 1.0, *, reason: str = "") -> None:
        """reason: one of few (see `records/reasons.py`), since each is a time series."""
        self._counters[name, reason] = self._counters.get((name, reason), 0.0) + amount

    def observe(self, name: str, *values: float) -> None:
        self._observations.setdefault(name, deque(maxlen=MOST_OBSERVATIONS)).extend(values)

    def counters(self) -> list[Sample]:
        return [
            Sample(name=name, labels={"reason": reason} if reason else {}, value=value)
            for (name, reason), value in self._counters.items()
        ]

    def take_observations(self) -> dict[str, list[float]]:
        """Each observation is handed out once."""
        taken = {name: list(values) for name, values in self._observations.items() if values}
        self._observations.clear()
        return taken
