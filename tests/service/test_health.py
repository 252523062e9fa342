"""What the probes answer."""

import time

import pytest

from service import health
from service.worker_view import WorkerView
from streaming.control.messages import Allowance, Problem, WorkerState


def all_ok(checks: list[health.Check]) -> bool:
    return all(check.ok for check in checks)


def overdue(seconds: float, state: WorkerState) -> WorkerView:
    view = WorkerView(stall_s=10)
    view.expect_report(time.monotonic() - seconds)
    view.state = state
    return view


@pytest.mark.parametrize("state", [WorkerState.TRAINING, WorkerState.RESTARTING, WorkerState.STARTING])
def test_live_until_no_worker_has_reported_for_twice_the_stall_time(state: WorkerState) -> None:
    assert all_ok(health.live(overdue(19, state)))
    assert not all_ok(health.live(overdue(21, state)))


def test_back_off_before_a_restart_is_no_silence() -> None:
    assert all_ok(health.live(overdue(-60, WorkerState.RESTARTING)))


def test_announced_silence_is_live() -> None:
    view = WorkerView(stall_s=10)
    view.allow(Allowance(state=WorkerState.RESTORING, seconds=600, doing="restoring"))
    assert view.report_due is not None
    view.report_due -= 1100
    assert all_ok(health.live(view))
    view.report_due -= 101
    assert not all_ok(health.live(view))


def test_failed_is_live_and_started_and_not_ready() -> None:
    view = overdue(1000, WorkerState.TRAINING)
    view.fail(Problem(type="t", detail="d", since=0.0))
    assert (all_ok(health.live(view)), all_ok(health.started(view)), all_ok(health.ready(view))) == (True, True, False)


def test_ready_states() -> None:
    ready = {state for state in WorkerState if all_ok(health.ready(overdue(0, state)))}
    assert ready == {WorkerState.TRAINING, WorkerState.WAITING, WorkerState.PAUSED, WorkerState.STOPPED}
