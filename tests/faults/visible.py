"""Silence is a failure: a fault must show in the status, in the log and in a metric, each within 15 s."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.line.line import Service, nap

WITHIN_S = 15.0


def samples(service: Service) -> dict[str, float]:
    """Every sample of /metrics under its name, with its labels' values as in `penstock_worker_state{failed}`."""
    return _samples(service.exposition())


def _samples(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}" if sample.labels else sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Lookout:
    """Made before the fault; `sees` is called right after it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._before = samples(service)
        self._made = datetime.now(UTC)

    def sees(
        self,
        *,
        status: Callable[[Any], object],
        event: str,
        metric: str,
        fields: Mapping[str, str] | None = None,
        rises: float | None = 1,
    ) -> str:
        """Wait for all three; what was seen where and when, for the table.

        status: holds for the answer of /v1/status. event: the name of a new log event, with these `fields`.
        metric: a sample that has grown by `rises`, or, where that is None, is 1.
        """
        began = time.monotonic()
        looks: dict[str, Callable[[], object]] = {
            "status": lambda: status(self._service.status()),
            f"log `{event}`": lambda: self._logged(event, fields or {}),
            f"`{metric}`": lambda: self._risen(metric, rises),
        }
        seen: dict[str, float] = {}
        while len(seen) < len(looks) and time.monotonic() - began < WITHIN_S:
            for name in looks.keys() - seen.keys():
                with suppress(httpx.TransportError):
                    if looks[name]():
                        seen[name] = time.monotonic() - began
            nap()
        missing = looks.keys() - seen.keys()
        assert not missing, f"not seen within {WITHIN_S} s: {missing}; {self._service.log.read_text()[-3000:]}"
        return ", ".join(f"{name} {seen[name]:.1f} s" for name in looks)

    def _logged(self, name: str, fields: Mapping[str, str]) -> bool:
        return any(
            all(str(text) in str(event.get(key)) for key, text in fields.items())
            and datetime.fromisoformat(event["timestamp"]) >= self._made
            for event in self._service.events(name)
        )

    def _risen(self, metric: str, rises: float | None) -> bool:
        url = f"{self._service.url}/metrics"
        now = _samples(httpx.get(url, timeout=10).raise_for_status().text).get(metric, 0.0)
        return now == 1 if rises is None else now >= self._before.get(metric, 0.0) + rises
