"""Looks every second at what the page shows, remembers it, and wakes those who watch."""

import asyncio
import time

import structlog

from service.history import History, Point, Values
from service.journal import Journal
from service.lag import Lag
from service.operations import Operations
from service.tape import Tape
from service.worker_life import WorkerListener
from service.worker_view import WorkerView
from streaming.control.messages import Score, Status, ToSidecar

LOOK_S = 1.0
LOOKS_A_POINT = 2
REMEMBERED = 64
_log = structlog.get_logger()


class Recorder(WorkerListener):
    """history and journal: since the service started. points: the newest of the history, numbered.

    looks: how often it has looked.
    """

    def __init__(self, view: WorkerView, lag: Lag, operations: Operations, journal: Journal) -> None:
        self._view = view
        self._lag = lag
        self._operations = operations
        self._freshness: list[float] = []
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.journal = journal
        self.history = History()
        self.points: Tape[Point] = Tape(REMEMBERED)
        self.looks = 0
        self.closed = False

    def worker_said(self, message: ToSidecar) -> None:
        if isinstance(message, Status):
            self._freshness += message.observations.get("freshness_seconds", [])

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_ended)

    def stop(self) -> None:
        """Nothing more is to come: whoever watches is told so."""
        if self._task is not None:
            self._task.cancel()
        self.closed = True
        self._wake()

    async def next_look(self) -> None:
        """Return when there may be news, or once it is `closed`."""
        if not self.closed:
            await self._looked.wait()

    async def _run(self) -> None:
        while True:
            self.journal.look(self._operations.newest_first())
            if self.looks % LOOKS_A_POINT == 0:
                for point in self.history.add(time.time(), self._values()):
                    self.points.add(point)
            self.looks += 1
            self._wake()
            await asyncio.sleep(LOOK_S)

    def _wake(self) -> None:
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    def _values(self) -> Values:
        status, now = self._view.status, time.monotonic()
        lags = [self._lag.of(each, now) for each in self._view.partitions]
        records, seconds = [each.records for each in lags], [each.seconds for each in lags]
        freshness, self._freshness = self._freshness, []
        scores = status.scores if status is not None else []
        return {
            "records_per_s": self._view.rates().records_per_s,
            "loss": status.loss if status is not None else None,
            "prequential_iou": _mean_iou(scores, held_out=False),
            "holdout_iou": _mean_iou(scores, held_out=True),
            "lag_records": sum(each for each in records if each is not None) if _known(records) else None,
            "lag_seconds": max(each for each in seconds if each is not None) if _known(seconds) else None,
            "freshness_seconds": sum(freshness) / len(freshness) if freshness else None,
        }


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("recorder_failed", exc_info=error)


def _known(values: list[int | None] | list[float | None]) -> bool:
    return bool(values) and None not in values


def _mean_iou(scores: list[Score], *, held_out: bool) -> float | None:
    """The hold-out set's has a number for a name."""
    found = (each for each in scores if each.name == "mean_iou" and (each.set != "prequential") == held_out)
    return next((each.value for each in found), None)
