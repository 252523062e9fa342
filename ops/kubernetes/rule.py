"""`python -m ops.kubernetes.rule` writes the PrometheusRule: the rules of ops/prometheus for the operator."""

from pathlib import Path

import yaml

SOURCES = [Path(__file__).parents[1] / "prometheus" / name for name in ("rules.yml", "alerts.yml")]
FILE = Path(__file__).parent / "components" / "monitoring" / "prometheus-rule.yaml"
HEAD = """# Validated, never run here: there was no cluster.
# Written by `python -m ops.kubernetes.rule` from ops/prometheus.
"""


def main() -> None:
    FILE.write_text(rendered())


def rendered() -> str:
    """The file's content."""
    groups = [group for source in SOURCES for group in yaml.safe_load(source.read_text())["groups"]]
    tree = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "penstock"},
        "spec": {"groups": groups},
    }
    return HEAD + str(yaml.safe_dump(tree, sort_keys=False, width=118))


if __name__ == "__main__":
    main()
