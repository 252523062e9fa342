"""Counters and gauges from frames."""

import time

from prometheus_client import CollectorRegistry

from service.lag import Lag
from service.metrics import Metrics
from service.worker_life import Ending, Reason
from service.worker_view import Durable, WorkerView
from streaming.control.messages import Committed, Problem, Sample, Status, WorkerState


def frame(**counters: float) -> Status:
    return Status(
        state=WorkerState.TRAINING, step=1, loss=float("nan"), learning_rate=None, device="CPU", reader="r",
        degraded=None, problems=[], records={}, partitions=[], scores=[], newest_event_time_s=None,
        counters=[Sample(name=name, value=value) for name, value in counters.items()], observations={},
    )  # fmt: skip


def test_counters_never_fall_over_worker_restarts() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, WorkerView(60), Lag())
    seen = []
    for life in ((3, 7), (0, 2, 9), (1,)):
        metrics.worker_started()
        for value in life:
            metrics.worker_said(frame(steps_total=value))
            seen.append(registry.get_sample_value("penstock_steps_total"))
        metrics.worker_gone(Ending(Reason.KILLED, "signal SIGKILL", None, False))
    assert seen == [3, 7, 7, 9, 16, 17]
    assert registry.get_sample_value("penstock_worker_restarts_total", {"reason": "killed"}) == 2


def test_reasons_become_labels_and_other_labels_are_added_up() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, WorkerView(60), Lag())
    metrics.worker_started()
    samples = [
        Sample(name="records_dead_lettered_total", labels={"reason": "decode"}, value=2),
        Sample(name="records_trained_total", labels={"partition": "0"}, value=5),
        Sample(name="records_trained_total", labels={"partition": "1"}, value=6),
        Sample(name="a_later_release_counts_this", value=1),
    ]
    metrics.worker_said(frame().model_copy(update={"counters": samples}))
    assert registry.get_sample_value("penstock_records_dead_lettered_total", {"reason": "decode"}) == 2
    assert registry.get_sample_value("penstock_records_trained_total") == 11


def test_what_alerts_count_begins_with_0_so_that_the_first_event_is_growth() -> None:
    registry = CollectorRegistry()
    Metrics(registry, WorkerView(60), Lag())
    name = "penstock_worker_restarts_total"
    restarts = {reason: registry.get_sample_value(name, {"reason": reason}) for reason in Reason}
    assert restarts == {reason: None if reason is Reason.PARKED else 0 for reason in Reason}
    assert registry.get_sample_value("penstock_records_dead_lettered_total", {"reason": "non_finite"}) == 0


def test_every_state_has_a_series_and_one_of_them_holds() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, WorkerView(60), Lag())
    metrics.refresh()
    values = {s: registry.get_sample_value("penstock_worker_state", {"state": s}) for s in WorkerState}
    assert values == {s: float(s is WorkerState.STARTING) for s in WorkerState}


def test_each_problem_has_a_series_while_it_stands() -> None:
    registry, view = CollectorRegistry(), WorkerView(60)
    metrics = Metrics(registry, view, Lag())
    view.outage = Problem(type="kafka-unavailable", detail="", since=0.0)
    metrics.refresh()
    assert registry.get_sample_value("penstock_problem", {"reason": "kafka-unavailable"}) == 1
    view.outage = None
    metrics.refresh()
    assert registry.get_sample_value("penstock_problem", {"reason": "kafka-unavailable"}) is None


def test_the_newest_checkpoint_is_the_one_of_the_greatest_id_also_when_the_clock_was_set_back() -> None:
    registry, view = CollectorRegistry(), WorkerView(60)
    metrics = Metrics(registry, view, Lag())

    def shown() -> float | None:
        metrics.refresh()
        return registry.get_sample_value("penstock_checkpoint_last_success_timestamp_seconds")

    view.durable = Durable("e000002-s000000007", 1, time.time() + 3600, 10, {}, [], "id")
    assert shown() == view.durable.created_at_s
    view.commit(
        Committed(
            checkpoint_id="e000003-s000000008", cause="periodic", step=2, size_bytes=10, duration_s=0.1, stall_s=0.1,
            positions={}, request_ids=[],
        )
    )  # fmt: skip
    assert shown() == view.committed_at
    view.durable = Durable("e000004-s000000009", 1, 5.0, 10, {}, [], "id")  # a restore, derived by the service
    assert shown() == 5.0
