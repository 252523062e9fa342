"""The service's life from the lock to its exit code, without HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.folder import ServiceFolder
from service.lock import DirectoryLock, DirectoryLocked
from service.operation import CheckpointRequest
from service.progress import settled_counter
from service.worker_view import Desired, Durable, WorkerView
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import ResetBreaker
from streaming.control.messages import PartitionStatus, WorkerState
from streaming.errors import CheckpointError
from tests.service.conftest import FakeWatermarks, service_with, settings_for, worker_command


def exit_code(directory: Path, lives: str, until: str | None = None, **settings: Any) -> int:
    async def main() -> int:
        service = service_with(settings_for(directory, **settings), worker_command(lives), FakeWatermarks(), until)
        async with asyncio.timeout(10):
            return await service.run()

    return asyncio.run(main())


def test_failed_service_exits_1_if_told_so(tmp_path: Path) -> None:
    assert exit_code(tmp_path / "run", "fails", on_failed="exit") == 1


def test_bounded_run_exits_0_when_it_is_finished(tmp_path: Path) -> None:
    assert exit_code(tmp_path / "run", "finishes", until="now") == 0


def test_bounded_run_that_fails_exits_1(tmp_path: Path) -> None:
    assert exit_code(tmp_path / "run", "fails", until="now") == 1


def test_nothing_is_written_once_the_lock_may_be_another_services(tmp_path: Path) -> None:
    async def main() -> None:
        service = service_with(settings_for(tmp_path / "run"), worker_command("well"), FakeWatermarks())
        service.stop()
        await service.run()
        parts = service.parts
        writers = (
            parts.supervisor.set_desired(Desired.PAUSED),
            parts.supervisor.decide(ResetBreaker(at=1.0)),
            parts.work.request("verify", CheckpointRequest(checkpoint_id="a"), None),
        )
        for writer in writers:
            with pytest.raises(CheckpointError, match="has stopped"):
                await writer
        assert not list(tmp_path.glob("run/.service/*.json*"))

    asyncio.run(main())


def test_what_is_being_written_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        folder = ServiceFolder(CheckpointStore(tmp_path))
        folder.create()
        writing = [
            asyncio.create_task(folder.desired.write(lambda: {"state": "paused"})),
            asyncio.create_task(folder.decisions.add(ResetBreaker(at=1.0))),
        ]
        await asyncio.sleep(0)
        await folder.flush()
        await asyncio.sleep(0)
        assert all(each.done() for each in writing)

    asyncio.run(main())


def test_locked_directory_refuses_what_would_write_there(tmp_path: Path) -> None:
    async def main() -> None:
        settings = settings_for(tmp_path / "run")
        first, second = (service_with(settings, worker_command("well"), FakeWatermarks()) for _ in range(2))
        running = [asyncio.create_task(first.run())]
        while first.view.state is not WorkerState.TRAINING:
            await asyncio.sleep(0.01)
        running.append(asyncio.create_task(second.run()))
        async with asyncio.timeout(10):
            with pytest.raises(CheckpointError, match="in use by process"):
                await second.parts.supervisor.set_desired(Desired.PAUSED)
        for service in (first, second):
            service.stop()
        await asyncio.gather(*running)

    asyncio.run(main())


def test_locked_directory_names_its_holder(tmp_path: Path) -> None:
    async def main() -> None:
        holder, other = DirectoryLock(tmp_path / "lock", 0), DirectoryLock(tmp_path / "lock", 0)
        await holder.acquire()
        with pytest.raises(DirectoryLocked, match=r"in use by process .* on .*, since "):
            await other.acquire()
        holder.release()
        await other.acquire()
        other.release()

    asyncio.run(main())


def test_directory_that_cannot_be_made_fails_the_service(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file is in the way")
    assert exit_code(tmp_path / "run", "well", on_failed="exit") == 1


def test_progress_counts_from_where_the_run_began() -> None:
    view = WorkerView(60)
    count = settled_counter(view, {0: 10, 1: 3})

    def at(*positions: int) -> tuple[int, int]:
        partitions = [
            PartitionStatus(topic="t", partition=p, origin=0, position=o, fetched=o, trained=0, checkpointed=0)
            for p, o in enumerate(positions)
        ]
        view.durable = Durable("e000001-s000000001", 0, 0.0, 0, {}, partitions, "id")
        return count()

    assert [at(4, 5), at(7, 5), at(12, 9)] == [(0, 6), (3, 6), (6, 6)]
