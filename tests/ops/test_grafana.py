"""The dashboard: what its code builds, about metrics that exist, in queries that Prometheus reads."""

import subprocess
from pathlib import Path

import yaml

from ops.grafana import dashboard
from tests.ops.test_prometheus import known_metrics, named_metrics, needs_promtool

QUERIES = [curve.expr for plots in dashboard.ROWS.values() for plot in plots for curve in plot.curves]
QUERIES += [number.expr for number in dashboard.NUMBERS]


def test_the_committed_dashboard_is_what_its_code_builds() -> None:
    assert dashboard.FILE.read_text() == dashboard.rendered(), "run python -m ops.grafana.dashboard"


def test_its_queries_name_metrics_that_exist() -> None:
    named = set().union(*map(named_metrics, QUERIES))
    assert named - known_metrics() == set()
    assert len(named) > 20


@needs_promtool
def test_prometheus_reads_its_queries(tmp_path: Path) -> None:
    plain = [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for query in QUERIES]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(plain)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = ["promtool", "check", "rules", "rules.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
