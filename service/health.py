"""What the three probes answer, from what is known of the worker. Pure."""

from typing import NamedTuple

from service.worker_view import WorkerView
from streaming.control.messages import WorkerState

ENDED = frozenset({WorkerState.STOPPED, WorkerState.FAILED})
READY = frozenset({WorkerState.TRAINING, WorkerState.WAITING, WorkerState.PAUSED, WorkerState.STOPPED})


class Check(NamedTuple):
    name: str
    ok: bool
    detail: str


def live(view: WorkerView) -> list[Check]:
    """The sidecar can still put things right. False only when no worker reports for twice as long as it may."""
    if view.state in ENDED or view.report_due is None:
        return [Check("worker", True, f"{view.state}: {view.doing}")]
    ok = view.overdue_s <= 2 * view.patience_s
    return [Check("worker", ok, f"{view.state}; last sign of work {view.overdue_s:.1f} s ago")]


def ready(view: WorkerView) -> list[Check]:
    """The service does what is wanted of it; with Kafka away, too."""
    doing = f": {view.doing}" if view.doing else ""
    return [Check("worker", view.state in READY, f"{view.state}{doing}")]


def started(view: WorkerView) -> list[Check]:
    """A worker has restored its state and reported; or there is no start to wait for any more."""
    if view.state in ENDED:
        return [Check("restored", True, f"{view.state}: {view.doing}")]
    return [Check("restored", view.started_once, "yes" if view.started_once else f"{view.state}: {view.doing}")]
