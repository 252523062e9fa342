"""Has a transaction been open for so long that what was written since waits for it? Pure but for the clock."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

PATIENCE_S = 60.0  # the default of a producer's transaction.timeout.ms


class Held(NamedTuple):
    sentence: str
    partitions: list[int]


class HeldBack:
    """clock: seconds."""

    def __init__(self, clock: Callable[[], float], patience_s: float = PATIENCE_S) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._standing: dict[int, tuple[int, float]] = {}

    def look(self, log_ends: Mapping[int, int], high_watermarks: Mapping[int, int]) -> Held | None:
        """Which last stable offsets (`log_ends`) have stood below the high watermark for too long."""
        now = self._clock()
        standing = {
            partition: (end, now) for partition, end in log_ends.items() if high_watermarks.get(partition, end) > end
        }
        for partition, (end, since) in self._standing.items():
            if standing.get(partition, (None,))[0] == end:
                standing[partition] = end, since
        self._standing = standing
        late = sorted((since, p, end) for p, (end, since) in standing.items() if now - since >= self._patience_s)
        if not late:
            return None
        since, partition, end = late[0]
        others = f"; so it is in {len(late) - 1} more partitions" if len(late) > 1 else ""
        sentence = (
            f"partition {partition}: a transaction has been open at offset {end} for {now - since:.0f} s, "
            f"{high_watermarks[partition] - end} offsets wait for its end{others}"
        )
        return Held(sentence, sorted(p for _, p, _ in late))
