"""When a dead worker is started again: the back-off and the budget."""

from streaming.control.messages import Problem
from streaming.errors import PenstockError

MAX_BACKOFF_S = 60.0
RESTORING_CAUSES = frozenset({"start", "restore", "requeue", "edit", "adapt"})


class WorkerFailed(PenstockError):
    """The worker can't go on, and starting it again would not help."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class RestartBudget:
    """Counts deaths since the last checkpoint that holds new work. Pure; `deaths` is what its owner keeps on disk.

    A service that starts with its budget spent tries once: someone, or an orchestrator with a back-off of its
    own, has started it.
    """

    def __init__(self, restarts: int, backoff_s: float, deaths: int = 0) -> None:
        self._restarts = restarts
        self._backoff_s = backoff_s
        self.deaths = deaths

    def dump(self) -> dict[str, int]:
        return {"deaths": self.deaths}

    def died(self) -> float | None:
        """Count a death: seconds to wait before the next start, None when there shall be none."""
        self.deaths += 1
        if self.deaths > self._restarts:
            return None
        if self.deaths == 1:
            return 0.0
        return float(min(MAX_BACKOFF_S, self._backoff_s * 2 ** min(self.deaths - 2, 30)))

    def found_guilty(self) -> None:
        """A record that kills workers was found and won't be decoded again: that death has brought training on."""
        self.deaths = max(0, self.deaths - 1)

    def committed(self, cause: str) -> bool:
        """A checkpoint is durable; whether that began a new count. One taken only to restore is no progress."""
        if cause in RESTORING_CAUSES or self.deaths == 0:
            return False
        self.deaths = 0
        return True
