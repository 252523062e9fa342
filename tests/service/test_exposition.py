"""What a scraper gets, and how often it is made anew."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.lag import Lag
from service.metrics import Metrics
from service.routes.metrics import KEPT_S, Exposition
from service.worker_view import WorkerView
from tests.service.test_metrics import frame

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def test_an_exposition_holds_for_a_second_and_is_made_anew_after_it() -> None:
    now = [1000.0]
    metrics = Metrics(CollectorRegistry(), WorkerView(60), Lag())
    exposition = Exposition(metrics, clock=lambda: now[0])
    metrics.worker_started()
    seen = []
    for steps, later in ((1, 0.0), (2, KEPT_S / 2), (3, KEPT_S / 2), (4, KEPT_S)):
        metrics.worker_said(frame(steps_total=steps))
        now[0] += later
        text = exposition.render(*choose_encoder("")).decode()
        seen.append(next(line for line in text.splitlines() if line.startswith("penstock_steps_total")))
    assert [line.split()[1] for line in seen] == ["1.0", "1.0", "3.0", "4.0"]


def test_each_format_is_kept_for_itself() -> None:
    exposition = Exposition(Metrics(CollectorRegistry(), WorkerView(60), Lag()), clock=lambda: 0.0)
    plain, modern = (exposition.render(*choose_encoder(accept)) for accept in ("", OPENMETRICS))
    assert not plain.endswith(b"# EOF\n")
    assert modern.endswith(b"# EOF\n")
    assert exposition.render(*choose_encoder("")) == plain
