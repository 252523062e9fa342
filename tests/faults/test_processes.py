"""Processes that freeze, starve, or meet a second one of their kind; and a clock that jumps."""

import os
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.folder import ServiceFolder
from streaming.checkpoints.derive import derive
from streaming.checkpoints.store import CheckpointStore
from tests.conftest import Broker, TopicFactory
from tests.faults.conftest import ServeWitness
from tests.faults.judge import judge
from tests.faults.production import Production
from tests.faults.scene import nap_until, settle
from tests.faults.table import Results
from tests.faults.visible import WITHIN_S, Lookout, samples
from tests.faults.witness import witness_record
from tests.line.line import Service

pytestmark = [pytest.mark.kafka, pytest.mark.tf]

STALL_S = 8.0
FROZEN_S = 60.0
SAVED = "penstock_checkpoint_last_success_timestamp_seconds"
HOUR_S = 3600
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def restarted(status: Any, restarts: int) -> bool:
    return int(status["worker"]["restarts"]) >= restarts


def trained_again(service: Service, since: float) -> float:
    """Seconds from `since` (monotonic) until a record is trained."""
    trained = service.status()["records"]["trained"]
    service.until(lambda status: status["state"] == "training" and status["records"]["trained"] > trained)
    return time.monotonic() - since


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_frozen_worker_is_replaced_and_a_frozen_sidecar_is_waited_for(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    service = witness(name, {"service.stall_s": STALL_S})
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] > 10)
        lookout, began = Lookout(service), time.monotonic()
        os.kill(service.status()["worker"]["pid"], signal.SIGSTOP)
        seen = lookout.sees(
            status=lambda status: restarted(status, 1),
            event="worker_stalled",
            metric="penstock_worker_restarts_total{stalled}",
        )
        worker_s = trained_again(service, began)
        assert worker_s < FROZEN_S

        before = service.status()
        service.send(signal.SIGSTOP)
        frozen = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{service.url}/livez", timeout=2)
        nap_until(frozen + FROZEN_S)
        service.send(signal.SIGCONT)
        thawed = time.monotonic()
        sidecar_s = trained_again(service, thawed)
        after = service.status()
        assert after["worker"]["pid"] == before["worker"]["pid"]
        sent = production.stop()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    outcome = f"killed for silence after {STALL_S:.0f} s (service.stall_s), replaced"
    results.add("worker frozen", verdict, recovery_s=worker_s, outcome=outcome, visible=seen)
    results.add(
        f"sidecar frozen {FROZEN_S:.0f} s",
        verdict,
        recovery_s=sidecar_s,
        outcome="the same worker goes on when it thaws",
        visible="/livez, /v1/status and /metrics give no answer: probe fails, `up` is 0",
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_two_services_on_one_directory_one_waits_and_takes_over_when_the_other_dies(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, tmp_path: Path, results: Results
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    first = witness(name)
    for other in ("second", "third"):
        (tmp_path / other).mkdir()
    with Production(servers, name, witness_record, partitions=2) as production:
        first.until(lambda status: status["step"] > 10)
        second = witness(name, {"checkpoint.directory": first.checkpoints}, directory=tmp_path / "second")
        second.checkpoints = first.checkpoints
        began = time.monotonic()
        second.until(lambda status: "lock" in status["worker"]["doing"], WITHIN_S)
        second.until(lambda _: second.events("directory_lock_awaited"), WITHIN_S)
        assert samples(second)["penstock_worker_state{starting}"] == 1
        told_s = time.monotonic() - began
        assert first.signal(signal.SIGKILL) == -signal.SIGKILL
        killed = time.monotonic()
        second.until(lambda status: status["state"] == "training")
        recovery_s = time.monotonic() - killed
        third = witness(name, {"checkpoint.directory": first.checkpoints}, directory=tmp_path / "third")
        status = third.until(lambda status: status["state"] == "failed", 60)
        assert status["problems"][0]["type"] == "directory-locked"
        assert samples(third)["penstock_worker_state{failed}"] == 1
        assert third.events("service_failed")
        sent = production.stop()
    settle(second, servers, name)
    verdict = judge(second, servers, name, second.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        "two services on one directory",
        verdict,
        rounds=2,
        recovery_s=recovery_s,
        outcome="the second waits 30 s for the lock, takes over a dead one's work, else fails",
        visible=f"status, log `directory_lock_awaited`, `penstock_worker_state` {told_s:.1f} s; then directory-locked",
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_zombie_writer_is_refused_and_leaves_no_trace(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    service = witness(name)
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] > 10)
        lookout = Lookout(service)
        worker = service.status()["worker"]["pid"]
        service.send(signal.SIGSTOP)
        os.kill(worker, signal.SIGSTOP)
        store = CheckpointStore(service.checkpoints)
        newest, _ = store.newest_valid()
        assert newest is not None
        usurper = derive(store, newest.id, epoch=ServiceFolder(store).next_epoch(), cause="restore")
        os.kill(worker, signal.SIGCONT)
        service.send(signal.SIGCONT)
        seen = lookout.sees(
            status=lambda status: (status["degraded"] or {}).get("reason") == "checkpoint-failing",
            event="checkpoint_failed",
            fields={"detail": "another writer has taken over"},
            metric="penstock_checkpoint_failures_total",
        )
        assert store.highest() == (usurper.epoch, usurper.sequence)
        service.kill_worker()
        killed = time.monotonic()
        recovery_s = trained_again(service, killed)
        assert service.events("restored")[-1]["checkpoint"] == usurper.id
        sent = production.stop()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        "zombie writer",
        verdict,
        recovery_s=recovery_s,
        outcome="each save of the lower epoch is refused; the next worker goes on from the other's",
        visible=seen,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(FAKETIME is None, reason="libfaketime isn't installed")
def test_when_the_clock_jumps_saves_order_and_retention_go_on(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, tmp_path: Path, results: Results
) -> None:
    name, servers, clock = topic(2), kafka.bootstrap_servers, tmp_path / "clock"
    clock.write_text("+0\n")
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}  # faked files' times make imports slow
    service = witness(name, {"checkpoint.keep": 3, "checkpoint.keep_hourly": 2, "checkpoint.keep_daily": 1}, fake)
    seen_s, took = 0.0, []
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] > 10)
        for jump_s in (HOUR_S, -HOUR_S, 0):
            highest = CheckpointStore(service.checkpoints).highest()
            clock.write_text(f"{jump_s:+d}\n")
            jumped = time.monotonic()
            service.until(
                lambda _, jump_s=jump_s: all(abs(at - time.time() - jump_s) < HOUR_S / 2 for at in told_times(service)),
                WITHIN_S,
            )
            seen_s = max(seen_s, time.monotonic() - jumped)
            for _ in range(5):
                service.checkpoint()
            assert CheckpointStore(service.checkpoints).highest() >= (highest[0], highest[1] + 5)
            service.kill_worker()
            took.append(trained_again(service, time.monotonic()))
            listed = [each["id"] for each in service.get("/v1/checkpoints?limit=100")["checkpoints"]]
            assert listed == sorted(listed, reverse=True)
            assert 3 <= len(listed) <= 3 + 2 + 1 + 1, listed
        restored = [event["checkpoint"] for event in service.events("restored")]
        assert restored == sorted(restored)
        sent = production.stop()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    results.add(
        "clock jumps an hour forth and back",
        verdict,
        rounds=3,
        recovery_s=max(took),
        outcome="saves, restores and their order by epoch and sequence go on; retention keeps the last 3",
        visible=f"`created_at` of /v1/checkpoints, `timestamp` of each log event, `{SAVED}` {seen_s:.1f} s",
    )


def told_times(service: Service) -> list[float]:
    """When the newest save was, as metric, API and log tell it; each process looks at its own clock once a second."""
    newest = service.get("/v1/checkpoints?limit=1")["checkpoints"][0]
    told = newest["created_at"], service.events("checkpoint_committed")[-1]["timestamp"]
    return [samples(service)[SAVED], *(datetime.fromisoformat(each).timestamp() for each in told)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_out_of_memory_is_replaced(
    kafka: Broker, topic: TopicFactory, witness: ServeWitness, results: Results
) -> None:
    name, servers = topic(2), kafka.bootstrap_servers
    service = witness(name)
    with Production(servers, name, witness_record, partitions=2) as production:
        service.until(lambda status: status["step"] > 10)
        lookout, began = Lookout(service), time.monotonic()
        pid = service.status()["worker"]["pid"]
        held_kb = next(
            int(line.split()[1])
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmSize")
        )
        subprocess.run(["prlimit", f"--as={held_kb * 1024}", "--pid", str(pid)], check=True)
        service.until(lambda status: restarted(status, 1), WITHIN_S)
        reason = service.events("worker_exited")[-1]
        seen = lookout.sees(
            status=lambda status: restarted(status, 1),
            event="worker_exited",
            metric=f"penstock_worker_restarts_total{{{reason['reason']}}}",
        )
        recovery_s = trained_again(service, began)
        sent = production.stop()
    settle(service, servers, name)
    verdict = judge(service, servers, name, service.checkpoint())
    assert verdict.exact, verdict
    assert verdict.records == sent
    outcome = f"it died ({reason['detail']}) and was replaced"
    results.add("worker out of memory (RLIMIT_AS)", verdict, recovery_s=recovery_s, outcome=outcome, visible=seen)
