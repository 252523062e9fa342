"""The service's life from the lock to its exit code, without HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.lock import DirectoryLock, DirectoryLocked
from service.progress import settled_counter
from service.worker_view import Durable, WorkerView
from streaming.control.messages import PartitionStatus
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
        view.durable = Durable(0, 0.0, 0, {}, partitions, "id")
        return count()

    assert [at(4, 5), at(7, 5), at(12, 9)] == [(0, 6), (3, 6), (6, 6)]
