"""Every metric of the service, in one class, fed by the worker's frames and by the watermarks."""

import time
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from service.lag import Lag
from service.worker_life import Ending, Reason, WorkerListener
from service.worker_view import WorkerView
from streaming.control.messages import Committed, Sample, SaveFailed, Status, ToSidecar, WorkerState

_STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_AGE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.2, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 7200, 86_400)
_FILL_BUCKETS = tuple(tenths / 10 for tenths in range(1, 11))
_PARTITION = ["topic", "partition"]
_BY_REASON = frozenset({"records_dead_lettered_total", "records_skipped_total"})
_PACKAGES = ("penstock", "tensorflow", "tensorflow-io", "keras", "kafka-python")
_log = structlog.get_logger()


class Metrics(WorkerListener):
    """Counters grow over worker restarts and never fall; gauges are set from the view when someone looks.

    A worker's counters (`Status.counters`) are absolute since its own start: here their growth is added up.
    """

    def __init__(self, registry: CollectorRegistry, view: WorkerView, lag: Lag) -> None:
        self.registry = registry
        self._view = view
        self._lag = lag
        self._seen: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        self._unknown: set[str] = set()
        self._last_reason: Reason | None = None

        def counter(name: str, text: str, labels: list[str] | None = None) -> Counter:
            return Counter(name, text, labels or [], namespace="penstock", registry=registry)

        def gauge(name: str, text: str, labels: list[str] | None = None) -> Gauge:
            return Gauge(name, text, labels or [], namespace="penstock", registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, namespace="penstock", registry=registry, buckets=buckets)

        self._counters = {
            "records_fetched_total": counter("records_fetched_total", "Records read from Kafka, repeats included."),
            "records_trained_total": counter("records_trained_total", "Records trained, repeats included."),
            "records_dead_lettered_total": counter("records_dead_lettered_total", "Bad records.", ["reason"]),
            "records_skipped_total": counter("records_skipped_total", "Tombstones and empty values.", ["reason"]),
            "records_held_out_total": counter("records_held_out_total", "Records kept for evaluation."),
            "records_lost_total": counter("records_lost_total", "Records that retention removed before training."),
            "bytes_fetched_total": counter("bytes_fetched_total", "Bytes of record values read from Kafka."),
            "steps_total": counter("steps_total", "Training steps."),
            "data_wait_seconds_total": counter("data_wait_seconds_total", "Time that training waited for a batch."),
        }
        self._histograms = {
            "step_duration_seconds": histogram("step_duration_seconds", "One training step.", _STEP_BUCKETS),
            "batch_fill_ratio": histogram("batch_fill_ratio", "Records of a batch / batch size.", _FILL_BUCKETS),
            "freshness_seconds": histogram("freshness_seconds", "From event to weights.", _AGE_BUCKETS),
        }
        self._restarts = counter("worker_restarts_total", "Workers started after one ended.", ["reason"])
        self._save_failures = counter("checkpoint_failures_total", "Checkpoints that could not be taken.")
        self._save_duration = histogram("checkpoint_duration_seconds", "From copy to durable.", _STEP_BUCKETS)
        self._save_stall = histogram("checkpoint_stall_seconds", "Training stood still for it.", _STEP_BUCKETS)
        self._save_size = gauge("checkpoint_size_bytes", "Size of the newest checkpoint.")
        self._save_time = gauge("checkpoint_last_success_timestamp_seconds", "When the newest checkpoint was taken.")
        self._free = gauge("checkpoint_free_bytes", "Room on the file system of the checkpoints; NaN: unknown.")
        self._state = gauge("worker_state", "1 for the present state.", ["state"])
        self._degraded = gauge("degraded", "1 while something outside keeps training from going on.")
        self._problem = gauge("problem", "1 while there is such a problem that a person should know.", ["reason"])
        self._step = gauge("step", "Training step of the present weights.")
        self._ledger = gauge("ledger_records", "The ledger's book; goes back with a rollback.", ["kind"])
        self._loss = gauge("loss", "Training loss of the newest step.")
        self._learning_rate = gauge("learning_rate", "Learning rate of the newest step.")
        self._score = gauge("score", "Scores by evaluation set.", ["set", "name", "class"])
        self._event_time = gauge("newest_event_timestamp_seconds", "Newest event in the weights.")
        self._position = gauge("position", "First offset that isn't settled.", _PARTITION)
        self._checkpointed = gauge("checkpointed_position", "Position in the newest checkpoint.", _PARTITION)
        self._log_end = gauge("log_end_offset", "Last stable offset.", _PARTITION)
        self._lag_records = gauge("lag_records", "Log end - position.", _PARTITION)
        self._lag_seconds = gauge("lag_seconds", "Since the log first went past the position.", _PARTITION)
        self._headroom = gauge(
            "retention_headroom_seconds",
            "Until retention may remove the record at the position; +Inf: it won't, NaN: unknown.",
            _PARTITION,
        )
        self._build = gauge(
            "build_info", "Versions; the value is 1.", [_label(name) for name in _PACKAGES] + ["python"]
        )
        self._build.labels(*[_version(name) for name in _PACKAGES], python_version()).set(1)
        for unknown in (self._loss, self._learning_rate, self._event_time, self._save_time):
            unknown.set(float("nan"))
        ProcessCollector(registry=registry)
        ProcessCollector(namespace="penstock_worker", pid=lambda: view.pid or "none", registry=registry)

    def worker_started(self) -> None:
        self._seen.clear()
        if self._last_reason is not None:
            self._restarts.labels(self._last_reason).inc()

    def worker_said(self, message: ToSidecar) -> None:
        match message:
            case Status():
                for sample in message.counters:
                    self._count(sample)
                for name, values in message.observations.items():
                    self._observe(name, values)
            case Committed():
                self._save_duration.observe(message.duration_s)
                self._save_stall.observe(message.stall_s)
            case SaveFailed():
                self._save_failures.inc()

    def worker_gone(self, ending: Ending) -> None:
        self._last_reason = None if ending.reason is Reason.PARKED else ending.reason

    def refresh(self) -> None:
        """Set the gauges; call it before the registry is read."""
        view, status = self._view, self._view.status
        for state in WorkerState:
            self._state.labels(state).set(state is view.state)
        self._degraded.set(view.degraded is not None)
        self._problem.clear()
        for problem in view.problems:
            self._problem.labels(problem.type).set(1)
        self._step.set(view.step)
        for kind, count in view.records.items():
            self._ledger.labels(kind).set(count)
        if status is not None:
            self._score.clear()
            for score in status.scores:
                self._score.labels(score.set, score.name, score.class_).set(score.value)
            for gauge, value in (
                (self._loss, status.loss),
                (self._learning_rate, status.learning_rate),
                (self._event_time, status.newest_event_time_s),
            ):
                gauge.set(float("nan") if value is None else value)
        self._set_partitions()
        self._set_checkpoint()

    def _set_partitions(self) -> None:
        now = time.monotonic()
        for gauge in (
            *(self._position, self._checkpointed, self._log_end),
            *(self._lag_records, self._lag_seconds, self._headroom),
        ):
            gauge.clear()  # another topic may have fewer partitions
        for each in self._view.partitions:
            labels = each.topic, str(each.partition)
            self._position.labels(*labels).set(each.position)
            self._checkpointed.labels(*labels).set(each.checkpointed)
            lag = self._lag.of(each, now)
            if lag.log_end is not None and lag.records is not None and lag.seconds is not None:
                self._log_end.labels(*labels).set(lag.log_end)
                self._lag_records.labels(*labels).set(lag.records)
                self._lag_seconds.labels(*labels).set(lag.seconds)
            self._headroom.labels(*labels).set(float("nan") if lag.headroom is None else lag.headroom.seconds)

    def _set_checkpoint(self) -> None:
        """Which one is newer their ids say; clocks are set back at times."""
        view = self._view
        self._free.set(float("nan") if view.free_bytes is None else view.free_bytes)
        derived = view.durable.checkpoint_id if view.durable is not None else ""
        if view.committed is not None and view.committed_at is not None and view.committed.checkpoint_id >= derived:
            self._save_size.set(view.committed.size_bytes)
            self._save_time.set(view.committed_at)
        elif view.durable is not None:
            self._save_size.set(view.durable.size_bytes)
            self._save_time.set(view.durable.created_at_s)

    def _count(self, sample: Sample) -> None:
        counter = self._counters.get(sample.name)
        if counter is None:
            self._warn_unknown(sample.name)
            return
        key = sample.name, frozenset(sample.labels.items())
        growth = sample.value - self._seen.get(key, 0.0)
        if growth < 0:
            return
        self._seen[key] = sample.value
        if sample.name in _BY_REASON:
            counter = counter.labels(sample.labels.get("reason", ""))
        counter.inc(growth)

    def _observe(self, name: str, values: list[float]) -> None:
        histogram = self._histograms.get(name)
        if histogram is None:
            self._warn_unknown(name)
            return
        for value in values:
            histogram.observe(value)

    def _warn_unknown(self, name: str) -> None:
        if name not in self._unknown:
            self._unknown.add(name)
            _log.warning("metric_unknown", name=name)


def _label(package: str) -> str:
    return "version" if package == "penstock" else package.replace("-", "_")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
