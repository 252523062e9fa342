"""The service as a child process, watched and steered over HTTP like any other."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from streaming.demo.child import log_tail, start_child, stop_child
from streaming.errors import PenstockError

SETTLED = ("trained", "held_out", "dead_lettered", "skipped", "absent", "lost", "excluded")
_POLL_S = 0.2


class Snapshot(NamedTuple):
    """What GET /v1/status said. records: the ledger's counts by kind; lag, log_end: sums, None while unknown."""

    state: str
    doing: str
    step: int
    loss: float | None
    records: dict[str, int]
    records_per_s: float
    mean_iou: float | None
    partitions: int
    log_end: int | None
    lag: int | None
    problem: str | None

    @property
    def settled(self) -> int:
        return sum(self.records.get(kind, 0) for kind in SETTLED)


class Sidecar:
    """`python -m service`. Settings come by environment, the log goes to a file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        port: int,
        log: Path,
        *,
        grace_s: float = 35.0,
        command: Sequence[str] = (sys.executable, "-m", "service"),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._environment = environment
        self._grace_s = grace_s
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=self.url, timeout=10, trust_env=False, transport=transport)

    def start(self) -> None:
        """Start it from the main thread; it gets SIGTERM when that ends."""
        self._process = start_child(
            self._command, log=self.log, death_signal=signal.SIGTERM, environment=self._environment
        )

    def stop(self) -> int:
        """SIGTERM: it finishes the step, takes a last checkpoint and leaves with 0."""
        self._http.close()
        return 0 if self._process is None else stop_child(self._process, self._grace_s)

    def snapshot(self) -> Snapshot | None:
        """The present status; None while it doesn't answer. Raises PenstockError once it is dead or has given up."""
        assert self._process is not None, "not started"
        code = self._process.poll()
        if code is not None:
            raise PenstockError(f"the service ended with code {code}, see {self.log}:\n{log_tail(self.log)}")
        try:
            response = self._http.get("/v1/status")
        except httpx.TransportError:
            return None
        if response.is_error:
            raise PenstockError(f"GET {self.url}/v1/status answered {response.status_code}: {response.text[:300]}")
        snapshot = parse_status(response.json())
        if snapshot.state == "failed":
            raise PenstockError(f"the service gave up ({snapshot.problem or 'no reason given'}), see {self.log}")
        return snapshot

    def checkpoint(self, timeout_s: float = 120.0) -> str:
        """Ask for a checkpoint and wait until it is durable; its id."""
        response = self._http.post("/v1/checkpoints", json={"label": "demo"})
        if response.status_code != httpx.codes.ACCEPTED:
            raise PenstockError(
                f"POST {self.url}/v1/checkpoints answered {response.status_code}: {response.text[:300]}"
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            operation = self._http.get(response.headers["Location"]).json()
            if operation["state"] == "succeeded":
                return str(operation["result"]["checkpoint_id"])
            if operation["state"] in ("failed", "cancelled"):
                detail = (operation.get("problem") or {}).get("detail", operation["state"])
                raise PenstockError(f"the checkpoint failed: {detail}")
            time.sleep(_POLL_S)
        raise PenstockError(f"the checkpoint wasn't durable after {timeout_s:.0f} s, see {self.log}")


def parse_status(body: Mapping[str, Any]) -> Snapshot:
    """The parts of the answer that the demo needs; mean_iou is the hold-out's."""
    partitions = body["partitions"]
    ends = [partition["log_end"] for partition in partitions]
    lags = [partition["lag"] for partition in partitions]
    scores = [
        score["value"]
        for score in body.get("scores", ())
        if score["name"] == "mean_iou" and score["set"] != "prequential"
    ]
    problems = [*body["problems"], *([body["degraded"]] if body["degraded"] else [])]
    return Snapshot(
        state=body["state"],
        doing=body["worker"].get("doing") or "",
        step=body["step"],
        loss=body["loss"],
        records=body["records"],
        records_per_s=body.get("rates", {}).get("records_per_s", 0.0),
        mean_iou=scores[-1] if scores else None,
        partitions=len(partitions),
        log_end=sum(ends) if ends and None not in ends else None,
        lag=sum(lags) if lags and None not in lags else None,
        problem=problems[0].get("detail") if problems else None,
    )
