"""A real Prometheus beside the container: it has what the ledger has, its alert fires, the dashboard isn't empty."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from ops.grafana import dashboard
from tests.conftest import Broker, TopicFactory
from tests.line.line import produce, record, settled
from tests.ops.engine import Container, Engine
from tests.ops.prometheus import Prometheus
from tests.ops.test_container import training

pytestmark = [
    pytest.mark.ops,
    pytest.mark.kafka,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="apt-get install prometheus"),
]
TOTALS = {
    "trained": "penstock_records_trained_total",
    "held_out": "penstock_records_held_out_total",
    "dead_lettered": "sum(penstock_records_dead_lettered_total)",
    "skipped": "sum(penstock_records_skipped_total)",
}


def test_prometheus_has_the_ledgers_numbers_an_alert_and_data_for_every_panel(
    engine: Engine, kafka: Broker, topic: TopicFactory, tmp_path: Path
) -> None:
    name, letters = topic(2), topic(1)
    values: list[bytes | None] = [record(number) for number in range(600)]
    produced = produce(kafka.bootstrap_servers, name, [*values, b"no record", None], partitions=2)
    patient = {"service.stall_s": 600, "kafka.dead_letter_topic": letters, "checkpoint.interval_s": 2}
    with (
        training(engine, kafka, name, **patient) as one,
        Prometheus(tmp_path / "prometheus", one.url.removeprefix("http://")) as prometheus,
    ):
        one.until(lambda status: settled(status) == produced)
        ledger = one.status()["records"]
        assert ledger["dead_lettered"] == ledger["skipped"] == 1
        for kind, query in TOTALS.items():
            prometheus.until(lambda kind=kind, query=query: prometheus.value(query) == ledger[kind])
        assert "PenstockStalled" not in prometheus.firing()

        worker = host_pid(engine, one)
        os.kill(worker, signal.SIGSTOP)
        produce(kafka.bootstrap_servers, name, values, partitions=2)
        prometheus.until(lambda: "PenstockStalled" in prometheus.firing())
        os.kill(worker, signal.SIGCONT)
        one.until(lambda status: settled(status) == produced + len(values))
        prometheus.until(lambda: "PenstockStalled" not in prometheus.firing())

        os.kill(worker, signal.SIGKILL)
        one.until(lambda status: status["worker"]["restarts"] == 1 and status["state"] == "waiting")
        empty = {query for query in queries() if not prometheus.query(query)}
        prometheus.until(lambda: {query for query in empty if not prometheus.query(query)} <= unseen(one))


def host_pid(engine: Engine, one: Container) -> int:
    """The worker's, as this machine counts."""
    lines = engine("top", one.name, "-eo", "pid,args").splitlines()
    (pid,) = [int(line.split()[0]) for line in lines if "streaming worker" in line]
    return pid


def queries() -> list[str]:
    """The dashboard's, with its variables filled in as Grafana does."""
    raw = [curve.expr for plots in dashboard.ROWS.values() for plot in plots for curve in plot.curves]
    raw += [number.expr for number in dashboard.NUMBERS]
    return [
        query.replace("$__rate_interval", "1h").replace("$instance", ".*").replace("[15m]", "[1h]") for query in raw
    ]


def unseen(one: Container) -> set[str]:
    """Queries without data because there is none: a topic that keeps its records for ever has no headroom."""
    headroom: list[Any] = [each["retention_headroom_seconds"] for each in one.status()["partitions"]]
    return {query for query in queries() if "headroom" in query and not any(headroom)}
