"""`make bench-api`: what probes and callers wait for while the worker trains on all cores, and what they cost it.

One service, one training, the default model. Latencies are seen by a client of this process, on the same cores. The
sidecar's CPU a request is its process' time over many requests, less what it uses without any. Step times are compared
in alternating windows: the same requests to the service, and to a server that does nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from streaming.demo.kafka import EmbeddedKafka
from tests.benchmarks.load import Answer, Client, Drip, Listeners, at_once, paced
from tests.benchmarks.service_against_keras import produce
from tests.benchmarks.windows import ratio
from tests.line.line import Service, nap

OUT = Console(stderr=True)
TOKEN = "the-token-of-the-bench"
MIXED = ("/livez", "/readyz", "/metrics", "/v1/status", "/v1/checkpoints")
STRANGE = [("POST", "/v1/pause"), ("POST", "/v1/checkpoints"), ("GET", "/v1/settings"), ("GET", "/livez")]
"""Without a token."""
REFUSED = b'"' + b"x" * (2 << 20) + b'"'
CROWD = 200
LISTENERS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=7, help="pairs of windows for the step time")
    parser.add_argument("--seconds", type=float, default=12, help="length of a window, and of each look at latencies")
    parser.add_argument("--per-second", type=float, default=50, help="requests a second in those windows")
    parser.add_argument("--records", type=int, default=80_000, help="records in the topic")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    wishes = parser.parse_args()
    settings: dict[str, object] = {"pipeline.image_size": 64, "pipeline.batch_size": 16, "model.width": 24}
    settings |= {"checkpoint.interval_s": 60, "service.token": TOKEN, "service.request_timeout_s": 10}
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as broker:
        produce(broker.bootstrap_servers, wishes.records)
        with Service(Path(folder), broker.bootstrap_servers, "bench", settings) as service, dummy() as nothing:
            service.until(lambda status: status["step"] > 20)
            found = {"latency": latencies(service.url, wishes.seconds), "storm": storm(service), "cpu": cpu(service)}
            found["steps"] = steps(service, nothing, wishes)
            left = sum(each["lag"] for each in service.status()["partitions"])
    assert left, "the topic ran dry: give --records more"
    report(found)
    if wishes.json:
        wishes.json.write_text(json.dumps(found, indent=1))


@contextmanager
def dummy() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.dummy_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def latencies(url: str, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds by what is asked, alone, beside listeners of the page's events, and beside slow clients."""
    found = {}
    for path in ("/livez", "/metrics", "/v1/status"):
        found[path] = spread(paced(url, [("GET", path)], 40, 2 * seconds))
    with Listeners(url, LISTENERS) as listeners:
        nap(2)
        began, since = listeners.taken_bytes, time.monotonic()
        found[f"/livez, {LISTENERS} listeners"] = spread(paced(url, [("GET", "/livez")], 40, 2 * seconds))
        rate = (listeners.taken_bytes - began) / (time.monotonic() - since) / LISTENERS
    OUT.print(f"each of {LISTENERS} listeners of /v1/events took {rate:.0f} bytes a second")
    with Drip(url, CROWD) as drip:
        nap(1)
        found[f"/livez, {CROWD} slow clients"] = spread(paced(url, [("GET", "/livez")], 40, 2 * seconds))
    OUT.print(f"{drip.closed} of {CROWD} slow clients were cut off within {2 * seconds:g} s")
    found["slow clients cut off"] = {"count": drip.closed}
    return found


def spread(answers: list[Answer]) -> dict[str, float]:
    assert {answer.status for answer in answers} == {200}
    values = 1000 * np.array([answer.seconds for answer in answers])
    return {"median": float(np.median(values)), "p99": float(np.quantile(values, 0.99)), "max": float(values.max())}


def storm(service: Service) -> dict[str, Any]:
    """Checkpoints asked for by a crowd in the same moment."""
    answers = at_once(service.url, CROWD, "/v1/checkpoints", TOKEN)
    statuses = Counter(str(answer.status) for answer, _ in answers)
    operations = {json.loads(body)["id"] for answer, body in answers if answer.status == 202}
    OUT.print(f"{CROWD} checkpoints asked for at once: {dict(statuses)}")
    return {"statuses": dict(statuses), "operations": len(operations), "slowest_s": max(a.seconds for a, _ in answers)}


def cpu(service: Service) -> dict[str, float]:
    """Milliseconds of the sidecar's CPU a request."""
    asked = [("GET", path, None, TOKEN) for path in MIXED]
    asked += [
        ("GET", "/v1/settings", None, TOKEN),
        ("POST", "/v1/pause", b"", "wrong"),
        ("POST", "/v1/pause", REFUSED, TOKEN),
    ]
    names = [*MIXED, "/v1/settings", "401", "413"]
    began = used(service.pid)
    nap(10)
    idle = (used(service.pid) - began) / 10
    found = {"idle, of a second": 1000 * idle}
    for name, (method, path, body, token) in zip(names, asked, strict=True):
        client, count = Client(service.url), 30 if body is REFUSED else 300
        before, since = used(service.pid), time.monotonic()
        statuses = {client.ask(method, path, body, token)[0].status for _ in range(count)}
        spent = used(service.pid) - before - idle * (time.monotonic() - since)
        client.close()
        found[f"{name} ({', '.join(map(str, sorted(statuses)))})"] = 1000 * max(0.0, spent) / count
        OUT.print(f"{name}: {time.monotonic() - since:.1f} s for {count} requests")
    return found


def used(pid: int) -> float:
    """Seconds of CPU that the process has had. Source: proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def steps(service: Service, nothing: str, wishes: argparse.Namespace) -> dict[str, Any]:
    """Steps a second under the same load on either server: what strangers can do, and what a reader may."""
    rates: dict[str, tuple[list[float], list[float]]] = {"strangers": ([], []), "readers": ([], [])}
    for number in range(wishes.windows):
        for kind, (ours, theirs) in rates.items():
            for url, found in ((service.url, ours), (nothing, theirs)):
                first, began = service.status()["step"], time.monotonic()
                if kind == "readers":
                    paced(url, [("GET", path) for path in MIXED], wishes.per_second, wishes.seconds)
                else:
                    with Drip(url, CROWD):
                        paced(url, STRANGE, wishes.per_second, wishes.seconds)
                found.append((service.status()["step"] - first) / (time.monotonic() - began))
            OUT.print(f"window {number + 1}, {kind}: {ours[-1]:.2f} steps/s, {theirs[-1]:.2f} beside it")
    return {
        kind: {"service": ours, "dummy": theirs, "ratio": ratio(ours, theirs)._asdict()}
        for kind, (ours, theirs) in rates.items()
    }


def report(found: dict[str, Any]) -> None:
    console = Console()
    table = Table(title="answers while the worker trains, milliseconds")
    for name in ("", "median", "99th percentile", "max"):
        table.add_column(name, justify="right" if name else "left")
    for name, values in found["latency"].items():
        if "p99" in values:
            table.add_row(name, *(f"{values[key]:.1f}" for key in ("median", "p99", "max")))
    console.print(table)
    console.print(f"slow clients cut off: {found['latency']['slow clients cut off']['count']} of {CROWD}")
    console.print(f"{CROWD} checkpoints asked for at once: {found['storm']}")
    table = Table("the sidecar's CPU", "ms a request")
    for name, value in found["cpu"].items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    console.print("steps a second under requests to the service / to a server that does nothing:")
    for kind, rates in found["steps"].items():
        told = rates["ratio"]
        console.print(f"  of {kind}: {told['median']:.3f} ({told['least']:.3f} to {told['most']:.3f})")


if __name__ == "__main__":
    main()
