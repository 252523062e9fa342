"""Rules and alerts: valid, each proved to fire and to stay silent, each with a page, about metrics that exist."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from streaming.control.messages import WorkerState
from tests.docs import ROOT, RUNBOOK, metric_labels

PROMETHEUS = ROOT / "ops" / "prometheus"
NAMED = re.compile(r"\b((?:instance:)?(?:penstock|process)_[\w:]+)(?:\{([^}]*)\})?")
TARGET = {"job", "instance"}  # labels that Prometheus adds
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool isn't there: Debian's prometheus"
)


def loaded(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text())


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in loaded(name)["groups"] for rule in group["rules"]]


def known_metrics() -> dict[str, set[str]]:
    """What a service exports and what the rules record -> its labels, but for those of the target."""
    recorded = {rule["record"]: set[str]() for rule in rules("rules.yml")}
    return metric_labels() | process_metrics() | recorded


def process_metrics() -> dict[str, set[str]]:
    """Those that need a process: the worker's, and the sidecar's, which the registry has, too."""
    registry = CollectorRegistry()
    for namespace in ("", "penstock_worker"):
        ProcessCollector(namespace=namespace, registry=registry)
    return {sample.name: set() for family in registry.collect() for sample in family.samples}


def unknown_in(expressions: Iterable[str]) -> set[str]:
    """Metrics, and labels of theirs, that an expression names and no service has."""
    known, found = known_metrics(), set()
    for name, selector in (pair for expression in expressions for pair in NAMED.findall(expression)):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", selector)))
        if name not in known:
            found.add(name)
        elif not labels <= known[name] | TARGET:
            found.add(f"{name}{{{selector}}}")
    return found


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
    assert [page.split()[0] for page in chapter.split("### ")[1:] if "Remedy" not in page] == []
    for rule in rules("alerts.yml"):
        assert rule["annotations"]["runbook_url"].endswith(f"ops/runbook.md#{rule['alert'].lower()}")
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_rules_and_cases_name_metrics_and_labels_that_exist() -> None:
    expressions = [rule["expr"] for name in ("rules.yml", "alerts.yml") for rule in rules(name)]
    expressions += [series["series"] for test in loaded("alerts_test.yml")["tests"] for series in test["input_series"]]
    assert unknown_in(expressions) == set()
    assert len({name for expression in expressions for name, _ in NAMED.findall(expression)}) > 15
    assert unknown_in(["penstock_typo > 1", 'penstock_degraded{state="failed"}']) == {
        "penstock_typo",
        'penstock_degraded{state="failed"}',
    }


def test_rules_and_cases_name_states_and_problems_that_exist() -> None:
    text = "".join((PROMETHEUS / name).read_text() for name in ("rules.yml", "alerts.yml", "alerts_test.yml"))
    states = {state for found in re.findall(r'\bstate=~?"([^"]+)"', text) for state in found.split("|")}
    assert states - set(WorkerState) == set()
    problems = set(re.findall(r'penstock_problem\{[^}]*reason!?="([^"]+)"', text))
    pages = re.findall(r"^### ([a-z-]+)$", RUNBOOK.read_text(), re.MULTILINE)  # test_docs.py holds them to the code
    assert problems - set(pages) == set()
