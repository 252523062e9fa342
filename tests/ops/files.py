"""`python -m tests.ops.files`: write the table of ops/README.md anew; `test_files.py` compares.

A new file of docker/ or ops/ gets a line in FILES. What is not RAN says "never run here" in its first line.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from tests.docs import ROOT, with_blocks

PAGE = ROOT / "ops" / "README.md"
FOLDERS = ("docker", "ops")
WITHOUT_COMMENTS = {".json", ".md", ".png"}


class Proof(StrEnum):
    RAN = "ran"
    VALIDATED = "validated"
    NEVER = "never run here"


class File(NamedTuple):
    """how: for RAN the command and its result, for VALIDATED the tool, for NEVER what is missing."""

    path: str
    proof: Proof
    how: str


RAN, VALIDATED, NEVER = Proof
PAGES = "`tests/test_docs.py`: its links, commands, settings and headings"
PICTURES = "drawn by `python -m tests.pictures`; looked at"
BUILD = "`kustomize build`, `kubectl kustomize`"
MANIFEST = f"`kubernetes-validate --strict`, 1.31 and 1.37; {BUILD}"
OPERATOR = f"{BUILD}; the operator's schema isn't among those of `kubernetes-validate`"

UNIT = "`systemd-analyze verify`, `systemd-analyze security`: 1.4; no systemd runs here, its socket is tested"
PROMETHEUS = "`make test-ops`: loaded and evaluated by a real Prometheus, alerts fire; `promtool test rules`"
COMPOSE = "`make test-ops`: brought up with images of Kafka and Prometheus built here, stopped, and up again"
ENGINE = "`make test-ops`: built by a real engine, and run"

FILES = (
    File("docker/Dockerfile", RAN, f"{ENGINE}; the target gpu never"),
    File("docker/compose.yaml", RAN, f"{COMPOSE}; Grafana never, whose image can't be pulled"),
    File("docker/compose.gpu.yaml", NEVER, "there was no GPU"),
    File("docker/healthcheck.py", RAN, ENGINE),
    File("docker/penstock.toml", RAN, ENGINE),
    File("ops/systemd/penstock.service", VALIDATED, UNIT),
    File("ops/README.md", VALIDATED, "`tests/ops/test_files.py`: this table"),
    File("ops/runbook.md", VALIDATED, PAGES),
    File("ops/threats.md", VALIDATED, PAGES),
    File("ops/pictures/page.png", RAN, "taken of the page by `tests/service/test_page.py`; looked at"),
    File("ops/pictures/pets.png", RAN, PICTURES),
    File("ops/pictures/predictions.png", RAN, PICTURES),
    File("ops/prometheus/prometheus.yml", RAN, PROMETHEUS),
    File("ops/prometheus/rules.yml", RAN, PROMETHEUS),
    File("ops/prometheus/alerts.yml", RAN, PROMETHEUS),
    File("ops/prometheus/alerts_test.yml", RAN, "`promtool test rules`: SUCCESS"),
    File("ops/grafana/dashboard.py", RAN, "`python -m ops.grafana.dashboard` writes the file that is committed"),
    File(
        "ops/grafana/penstock.json", VALIDATED, "built by Grafana's SDK for 11.6; `promtool check rules` of its queries"
    ),
    File("ops/grafana/provisioning/dashboards/penstock.yml", NEVER, "there was no Grafana to be had"),
    File("ops/grafana/provisioning/datasources/prometheus.yml", NEVER, "there was no Grafana to be had"),
    File("ops/kubernetes/rule.py", RAN, "`python -m ops.kubernetes.rule` writes the file that is committed"),
    File("ops/kubernetes/secret.example.yaml", VALIDATED, MANIFEST),
    File("ops/kubernetes/base/account.yaml", VALIDATED, MANIFEST),
    File("ops/kubernetes/base/deployment.yaml", VALIDATED, MANIFEST),
    File("ops/kubernetes/base/kustomization.yaml", VALIDATED, BUILD),
    File("ops/kubernetes/base/penstock.toml", VALIDATED, "read by the service's own settings"),
    File("ops/kubernetes/base/service.yaml", VALIDATED, MANIFEST),
    File("ops/kubernetes/base/volume.yaml", VALIDATED, MANIFEST),
    File("ops/kubernetes/components/monitoring/kustomization.yaml", VALIDATED, BUILD),
    File("ops/kubernetes/components/monitoring/pod-monitor.yaml", VALIDATED, OPERATOR),
    File("ops/kubernetes/components/monitoring/prometheus-rule.yaml", VALIDATED, OPERATOR),
    File("ops/kubernetes/components/network-policy/kustomization.yaml", VALIDATED, BUILD),
    File("ops/kubernetes/components/network-policy/network-policy.yaml", VALIDATED, MANIFEST),
    File("ops/kubernetes/overlays/cpu/kustomization.yaml", VALIDATED, BUILD),
    File("ops/kubernetes/overlays/gpu/kustomization.yaml", VALIDATED, BUILD),
)


def main() -> None:
    PAGE.write_text(with_blocks(PAGE.read_text(), {"files": table()}))


def table() -> str:
    """Markdown, in the order of the paths."""
    rows = [f"| [`{file.path}`](../{file.path}) | {file.proof} | {file.how} |" for file in sorted(FILES)]
    return "\n".join(["| file | here it was | how |", "| --- | --- | --- |", *rows])


def there() -> Iterator[str]:
    """The files that there are, but for what Python leaves behind."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(ROOT).as_posix()


def says_never_run(path: Path) -> bool:
    return "never run here" in path.read_text().partition("\n")[0].lower()


if __name__ == "__main__":
    main()
