"""The supervisor with real processes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.folder import ServiceFolder
from service.health import live
from service.restarts import WorkerFailed
from service.supervisor import Supervisor
from service.worker_life import Ending, WorkerLife, WorkerListener
from service.worker_link import WorkerLink
from service.worker_view import Desired, WorkerView
from streaming.checkpoints.store import CheckpointStore
from streaming.control.messages import Configure, Resume, WorkerState
from tests.service.conftest import settings_for, worker_command


class Recorder(WorkerListener):
    def __init__(self) -> None:
        self.endings: list[Ending] = []

    def worker_gone(self, ending: Ending) -> None:
        self.endings.append(ending)


class Bench:
    def __init__(self, directory: Path, lives: str, **service: Any) -> None:
        settings = settings_for(directory / "run", **service)
        self.folder = ServiceFolder(CheckpointStore(directory / "run"))
        self.folder.create()
        self.folder.settle()
        self.view = WorkerView(settings.service.stall_s)
        command = worker_command(lives, directory / "received")
        self.supervisor = Supervisor(
            command, lambda: {"settings": {}}, settings.service, self.folder, self.view, lambda: None
        )
        self.supervisor.restore_memory()
        self.heard = Recorder()
        self.supervisor.listen(self.heard)

    async def reach(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def stopped(self, running: "asyncio.Task[None]") -> None:
        self.supervisor.stop()
        async with asyncio.timeout(10):
            await running


def with_supervisor(bench: Bench, scenario: Callable[["asyncio.Task[None]"], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(asyncio.create_task(bench.supervisor.run()))

    asyncio.run(main())


def exists(pid: int) -> bool:
    """A zombie counts: it has not been reaped."""
    return Path(f"/proc/{pid}").exists()


def test_killed_worker_is_reaped_and_restarted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        first = bench.view.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await bench.reach(lambda: bench.view.pid not in (None, first))
        assert not exists(first)
        assert bench.heard.endings[0].detail == "signal SIGKILL"
        assert (bench.view.epoch, bench.view.restarts) == (2, 1)
        await bench.stopped(running)

    with_supervisor(bench, scenario)


def test_worker_is_configured_when_it_can_hear_so_that_nothing_said_before_is_missed(tmp_path: Path) -> None:
    async def story() -> None:
        life = WorkerLife(WorkerLink([sys.executable, "-c", ""]), WorkerView(60), [], 5)
        heard = []

        def configuration() -> Configure:
            heard.append(life.send(Resume()))
            return Configure(settings={}, epoch=1)

        assert not life.send(Resume())
        await life.run(configuration)
        assert heard == [True]

    asyncio.run(story())


def test_silent_worker_is_killed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "silent,well", stall_s=0.3)

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bool(bench.heard.endings))
        assert bench.heard.endings[0].reason == "stalled"
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        await bench.stopped(running)

    with_supervisor(bench, scenario)


def test_failed_is_not_retried(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "fails,well")

    async def scenario(running: "asyncio.Task[None]") -> None:
        with pytest.raises(WorkerFailed, match="no record fits") as raised:
            await running
        assert raised.value.problem.type == "records-all-bad"
        assert len(bench.heard.endings) == 1

    with_supervisor(bench, scenario)


def test_budget_exhausted_means_failed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "crashes", restart_budget=2)

    async def scenario(running: "asyncio.Task[None]") -> None:
        with pytest.raises(WorkerFailed, match=r"3 times .* signal SIGSEGV"):
            await running
        assert len(bench.heard.endings) == 3

    with_supervisor(bench, scenario)


def test_spent_budget_is_remembered_and_allows_one_try(tmp_path: Path) -> None:
    for tries in (2, 1):
        bench = Bench(tmp_path, "dies", restart_budget=1)

        async def scenario(running: "asyncio.Task[None]", bench: Bench = bench, tries: int = tries) -> None:
            with pytest.raises(WorkerFailed):
                await running
            assert len(bench.heard.endings) == tries

        with_supervisor(bench, scenario)


def test_newer_checkpoint_renews_the_budget(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "commits,commits,commits,commits,well", restart_budget=1)

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.epoch == 5 and bench.view.state is WorkerState.TRAINING)
        await bench.stopped(running)

    with_supervisor(bench, scenario)


def test_worker_that_talks_nonsense_is_replaced(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "mumbles,well")

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.epoch == 2 and bench.view.state is WorkerState.TRAINING)
        assert bench.heard.endings[0].reason == "protocol"
        await bench.stopped(running)

    with_supervisor(bench, scenario)


def test_stop_ends_the_worker_and_counts_no_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        pid = bench.view.pid
        await bench.stopped(running)
        assert pid is not None
        assert not exists(pid)
        assert bench.view.state is WorkerState.STOPPED
        assert bench.heard.endings[-1].detail == "exit code 0"
        assert bench.view.restarts == 0

    with_supervisor(bench, scenario)


def test_worker_that_ignores_shutdown_is_killed_when_the_grace_time_is_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "stubborn", grace_s=0.3)

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        began = time.monotonic()
        await bench.stopped(running)
        assert 0.3 <= time.monotonic() - began < 3
        assert bench.heard.endings[-1].detail == "signal SIGKILL"

    with_supervisor(bench, scenario)


def test_second_stop_kills_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "stubborn", grace_s=60)

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        bench.supervisor.stop()
        await bench.stopped(running)

    with_supervisor(bench, scenario)


def test_stop_before_the_worker_has_started_still_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.stopped(running)
        assert bench.view.state is WorkerState.STOPPED

    with_supervisor(bench, scenario)


def test_pause_survives_worker_and_service(tmp_path: Path) -> None:
    async def paused(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        await bench.supervisor.set_desired(Desired.PAUSED)
        await bench.reach(lambda: bench.view.state is WorkerState.PAUSED)
        await bench.stopped(running)

    async def still_paused(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.status is not None)
        assert bench.view.state is WorkerState.PAUSED
        await bench.stopped(running)

    bench = Bench(tmp_path, "well")
    with_supervisor(bench, paused)
    bench = Bench(tmp_path, "well")
    with_supervisor(bench, still_paused)


def test_epoch_is_above_every_checkpoint_even_without_its_file(tmp_path: Path) -> None:
    (tmp_path / "e000041-s000000007").mkdir()
    folder = ServiceFolder(CheckpointStore(tmp_path))
    folder.create()
    assert [folder.next_epoch(), folder.next_epoch()] == [42, 43]


def test_no_worker_starts_while_the_disk_refuses_and_one_does_as_soon_as_it_is_mended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")
    epoch, aside = bench.folder.path / "epoch", bench.folder.path / "aside"

    async def scenario(running: "asyncio.Task[None]") -> None:
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        epoch.rename(aside)
        epoch.mkdir()
        assert bench.view.pid is not None
        os.kill(bench.view.pid, signal.SIGKILL)
        await bench.reach(lambda: bench.view.outage is not None)
        (problem,) = bench.view.problems
        assert (problem.type, bench.view.degraded) == ("checkpoint-failing", problem)
        assert str(epoch) in problem.detail
        assert live(bench.view)[0].ok  # to kill the sidecar would mend nothing
        epoch.rmdir()
        aside.rename(epoch)
        await bench.reach(lambda: bench.view.state is WorkerState.TRAINING)
        assert bench.view.problems == []
        epoch.rename(aside)
        epoch.mkdir()
        os.kill(bench.view.pid, signal.SIGKILL)
        await bench.reach(lambda: bench.view.outage is not None)
        await bench.stopped(running)

    with_supervisor(bench, scenario)


def test_descriptors_do_not_leak_over_restarts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "well")

    async def scenario(running: "asyncio.Task[None]") -> None:
        descriptors = []
        for epoch in range(1, 5):
            await bench.reach(lambda epoch=epoch: bench.view.epoch == epoch and bench.view.status is not None)
            descriptors.append(len(os.listdir("/proc/self/fd")))
            assert bench.view.pid is not None
            os.kill(bench.view.pid, signal.SIGKILL)
        assert len(set(descriptors)) == 1
        await bench.reach(lambda: bench.view.epoch == 5)
        await bench.stopped(running)

    with_supervisor(bench, scenario)
