"""A real Prometheus with the files of ops/prometheus as they are committed."""

import shutil
from pathlib import Path

import pytest

from tests.ops.prometheus import Prometheus

pytestmark = [
    pytest.mark.ops,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="apt-get install prometheus"),
]


def test_it_evaluates_every_rule_and_notices_that_nobody_answers(tmp_path: Path) -> None:
    """The name `penstock` leads nowhere here, so one alert is about to fire."""
    with Prometheus(tmp_path / "prometheus") as prometheus:
        prometheus.until(lambda: prometheus.value('up{job="penstock"}') == 0)
        prometheus.until(lambda: prometheus.health() == {"ok"})
        prometheus.until(lambda: prometheus.alerts("pending") == {"PenstockDown"})
