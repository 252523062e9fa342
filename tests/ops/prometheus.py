"""A real Prometheus on loopback, with the files as they are committed, or with less patience for a service."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from streaming.demo.ports import free_port
from tests.docs import ROOT
from tests.ops.engine import eventually

RULES = ROOT / "ops" / "prometheus"
PATIENCE = {"[5m]": "[15s]", "[15m]": "[15s]", "[30m]": "[15s]", "[1h]": "[15s]"}
"""Windows of the rules, and what they are here: a test hasn't got so long."""


class Prometheus:
    """Scrapes `address` each second, with little patience; without one it runs the files as they are committed."""

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self._folder = folder
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None
        port = free_port()
        self._listen = f"127.0.0.1:{port}"
        self.url = f"http://{self._listen}"

    def __enter__(self) -> Self:
        self._folder.mkdir()
        file = RULES / "prometheus.yml" if self._address is None else self._impatient(self._address)
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={self._folder}/data"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen([*command, f"--web.listen-address={self._listen}"], stdout=log, stderr=log)
        self.until(self._ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def query(self, expression: str) -> list[Any]:
        return query(self.url, expression)

    def value(self, expression: str) -> float | None:
        return value(self.url, expression)

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return self.alerts("firing")

    def alerts(self, state: str) -> set[str]:
        """Names of those in that state: firing, or pending."""
        alerts = httpx.get(f"{self.url}/api/v1/alerts", timeout=10).raise_for_status().json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == state}

    def health(self) -> set[str]:
        """What became of the rules: ok, err, or unknown before they are evaluated."""
        groups = httpx.get(f"{self.url}/api/v1/rules", timeout=10).raise_for_status().json()["data"]["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    def until(self, holds: Callable[[], Any], deadline_s: float = 120) -> Any:
        """The first true value."""
        return eventually(holds, deadline_s, lambda: (self._folder / "log").read_text()[-2000:])

    def _ready(self) -> bool:
        """Until it is, it answers 503."""
        return httpx.get(f"{self.url}/-/ready", timeout=10).is_success

    def _impatient(self, address: str) -> Path:
        """A configuration for that one, with its rules beside it."""
        config = yaml.safe_load((RULES / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": [address]}]
        for name in config["rule_files"]:
            (self._folder / name).write_text(_impatient((RULES / name).read_text()))
        file = self._folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        return file


def query(url: str, expression: str) -> list[Any]:
    """The instant vector that the Prometheus at `url` finds."""
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}, timeout=10).raise_for_status()
    found: list[Any] = answer.json()["data"]["result"]
    return found


def value(url: str, expression: str) -> float | None:
    """The first of it."""
    found = query(url, expression)
    return float(found[0]["value"][1]) if found else None


def _impatient(rules: str) -> str:
    tree = yaml.safe_load(rules)
    for rule in (rule for group in tree["groups"] for rule in group["rules"]):
        rule.pop("for", None)
        for window, short in PATIENCE.items():
            rule["expr"] = rule["expr"].replace(window, short)
    return json.dumps(tree)
