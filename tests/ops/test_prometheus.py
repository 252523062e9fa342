"""Rules and alerts: valid, each proved to fire and to stay silent, each with a page, about metrics that exist."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from tests.docs import README, ROOT, RUNBOOK

PROMETHEUS = ROOT / "ops" / "prometheus"
SUFFIXES = r"_(bucket|sum|count)$"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool isn't there: Debian's prometheus"
)


def loaded(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text())


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in loaded(name)["groups"] for rule in group["rules"]]


def known_metrics() -> set[str]:
    """Those of the README's tested table, and what the rules record."""
    table = README.read_text().partition("<!-- metrics -->")[2].partition("<!-- /metrics -->")[0]
    recorded = {rule["record"] for rule in rules("rules.yml")}
    registry = CollectorRegistry()
    ProcessCollector(namespace="penstock_worker", registry=registry)
    process = {sample.name for family in registry.collect() for sample in family.samples}
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) | recorded | process


def named_metrics(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"', "", expression)
    return {re.sub(SUFFIXES, "", name) for name in re.findall(r"\b(?:instance:)?penstock_[\w:]+", bare)}


@needs_promtool
@pytest.mark.parametrize("command", ["check config prometheus.yml", "test rules alerts_test.yml"])
def test_promtool_is_content(command: str) -> None:
    done = subprocess.run(["promtool", *command.split()], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = [
        (each["alertname"], bool(each["exp_alerts"]))
        for test in loaded("alerts_test.yml")["tests"]
        for each in test["alert_rule_test"]
    ]
    alerts = [rule["alert"] for rule in rules("alerts.yml")]
    assert len(alerts) == len(set(alerts)) > 10
    assert set(cases) == {(alert, fires) for alert in alerts for fires in (True, False)}


def test_every_alert_leads_to_its_page_and_no_page_is_left_over() -> None:
    chapter = RUNBOOK.read_text().partition("## Alerts\n")[2].partition("\n## ")[0]
    pages = re.findall(r"^### (Penstock\w+)$", chapter, re.MULTILINE)
    assert pages == [rule["alert"] for rule in rules("alerts.yml")]
    for rule in rules("alerts.yml"):
        assert rule["annotations"]["runbook_url"].endswith(f"ops/runbook.md#{rule['alert'].lower()}")
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_rules_and_cases_name_metrics_that_exist() -> None:
    expressions = [rule["expr"] for name in ("rules.yml", "alerts.yml") for rule in rules(name)]
    expressions += [series["series"] for test in loaded("alerts_test.yml")["tests"] for series in test["input_series"]]
    named = set().union(*map(named_metrics, expressions))
    assert named - known_metrics() == set()
    assert len(named) > 15
