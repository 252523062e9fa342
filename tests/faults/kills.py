"""One kill -9 with live production: aimed at a phase of the work, and counted only if it proves something."""

import json
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from tests.line.line import DEADLINE_S, Service, nap

AIM_S = 20.0
SPREAD_S = 0.15  # a kill comes up to so long after the sign it waited for


class Phase(StrEnum):
    """What the worker was doing: it had just taken a step; a temporary of a checkpoint was left behind; it was
    restoring, after a first kill; records were read and not settled."""

    STEP = "step"
    SAVE = "save"
    RESTORE = "restore"
    READ = "read"


@dataclass(frozen=True)
class Kill:
    """recovery_s: from SIGKILL to the next trained record."""

    phase: Phase
    victim: str
    recovery_s: float


@dataclass(frozen=True)
class Scene:
    """What was known right before a kill. fetched: partition -> offset behind the highest one read."""

    step: int
    fetched: dict[int, int]


class Killer:
    """Kills the worker, or the sidecar and its worker with it, at instants drawn from `rng`."""

    def __init__(self, service: Service, rng: random.Random) -> None:
        self._service = service
        self._rng = rng

    def round(self, phase: Phase, victim: str) -> Kill | None:
        """None where the round proves nothing: no step since the newest durable checkpoint, or the aim was missed."""
        service = self._service
        nap(self._rng.uniform(0, 2))
        pid = service.until(lambda status: status["state"] == "training")["worker"]["pid"]
        scene = self._aim(Phase.STEP if phase is Phase.RESTORE else phase)
        killed = time.monotonic()
        hit = self._kill(victim, pid)
        durable = newest_manifest(service.checkpoints)
        if phase is Phase.SAVE and not any(service.checkpoints.glob(".tmp-e*")):
            hit = False
        if phase is Phase.RESTORE:
            killed = self._kill_while_restoring(pid)
        self._await_successor(durable["records"]["trained"])
        recovery_s = time.monotonic() - killed
        # Whatever the dead one had trained beyond its checkpoint lies below what it had read: once the successor's
        # positions have passed that, it has trained those records again.
        service.until(
            lambda status: all(each["position"] >= scene.fetched[each["partition"]] for each in partitions(status))
        )
        return Kill(phase, victim, recovery_s) if hit and scene.step > durable["step"] else None

    def _aim(self, phase: Phase) -> Scene:
        """Wait for a sign of the phase; the newest status before it is over."""
        if phase is Phase.SAVE:
            status = self._service.status()
            await_save(self._service.checkpoints)
            return scene_of(status)
        begun = self._service.status()["step"]

        def sign(status: Any) -> bool:
            return unsettled(status) > 0 if phase is Phase.READ else status["step"] > begun

        status = self._service.until(sign, AIM_S)
        nap(self._rng.uniform(0, SPREAD_S))
        return scene_of(status)

    def _kill(self, victim: str, pid: int) -> bool:
        """Whether it died of SIGKILL, and not of anything else before."""
        service = self._service
        if victim == "sidecar":
            died = service.signal(signal.SIGKILL) == -signal.SIGKILL
            await_end(pid)
            service.start()
            return died
        before = len(service.events("worker_exited"))
        os.kill(pid, signal.SIGKILL)
        return self._worker_died(before)

    def _worker_died(self, before: int) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            ends = self._service.events("worker_exited")[before:]
            if ends:
                return str(ends[0]["reason"]) == "killed" and "SIGKILL" in ends[0]["detail"]
            nap(0.01)
        raise AssertionError("the worker's end was never told")

    def _kill_while_restoring(self, first: int) -> float:
        """Kill the successor of `first`, too, while it restores; the moment of it."""
        status = self._service.until(
            lambda status: status["state"] == "restoring" and status["worker"]["pid"] not in (None, first)
        )
        before = len(self._service.events("worker_exited"))
        nap(self._rng.uniform(0.0, SPREAD_S))
        killed = time.monotonic()
        os.kill(status["worker"]["pid"], signal.SIGKILL)
        assert self._worker_died(before)
        return killed

    def _await_successor(self, trained: int) -> None:
        """Until a new worker has trained more than the checkpoint holds."""
        service, deadline = self._service, time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                status = service.status()
                if status["state"] == "training" and status["records"]["trained"] > trained:
                    return
                assert status["state"] != "failed", status["problems"]
            nap(0.02)
        raise AssertionError(f"never trained again: {service.log.read_text()[-3000:]}")


def partitions(status: Any) -> list[Any]:
    return list(status["partitions"])


def unsettled(status: Any) -> int:
    """Records that are read and not settled."""
    settled = sum(count for kind, count in status["records"].items() if kind != "fetched")
    return sum(each["fetched"] - each["origin"] for each in partitions(status)) - settled


def scene_of(status: Any) -> Scene:
    read = {each["partition"]: each["fetched"] for each in partitions(status)}
    return Scene(status["step"], read)


def newest_manifest(checkpoints: Path) -> Any:
    """Of the newest durable checkpoint, read from the disk as anyone can."""
    newest = max(path for path in checkpoints.iterdir() if path.is_dir() and path.name.startswith("e0"))
    return json.loads((newest / "manifest.json").read_text())


def await_save(checkpoints: Path) -> None:
    """Until a checkpoint is being written."""
    deadline = time.monotonic() + AIM_S
    while not any(checkpoints.glob(".tmp-e*")):
        assert time.monotonic() < deadline, "no save came"
        nap(0.001)


def await_end(pid: int) -> None:
    """Until a process that isn't our child is gone."""
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        nap(0.01)
