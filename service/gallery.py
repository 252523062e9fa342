"""The newest pictures that the worker has shown, in memory only."""

from collections import deque

from service.worker_life import WorkerListener
from streaming.control.messages import Picture, Pictures, ToSidecar

KEPT = 12


class Gallery(WorkerListener):
    """They outlive their worker: nothing newer is known then."""

    def __init__(self) -> None:
        self._shown: deque[tuple[Pictures, Picture]] = deque(maxlen=KEPT)

    @property
    def newest(self) -> Pictures | None:
        return self._shown[0][0] if self._shown else None

    def pictures(self, limit: int) -> list[tuple[Pictures, Picture]]:
        """With the message that each came in, the newest message first."""
        return list(self._shown)[:limit]

    def worker_said(self, message: ToSidecar) -> None:
        if isinstance(message, Pictures):
            self._shown.extendleft((message, picture) for picture in reversed(message.pictures))
