"""Slow work in its queue, with works that tell what they are asked to do."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.folder import StateFile
from service.operation import CheckpointRequest, Operation, OperationState, Progress, RestoreRequest, VerifyResult
from service.operations import KeyReused, Operations
from service.shelf import Shelf
from service.verification import Verification
from service.work_desk import WorkDesk
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointError


class Line:
    """A desk whose works wait until they may go on, and note what they did."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.operations = Operations(StateFile(directory / "operations.json"))
        self.done: list[str] = []
        self.go = asyncio.Event()
        self.desk = WorkDesk(self.operations, self.ours, {"restore": self._work, "verify": self._work})

    async def restore(self, identifier: str, key: str | None = None) -> Operation:
        wanted = RestoreRequest(checkpoint_id=identifier, records="retrain", accept_loss=False)
        return await self.desk.request("restore", wanted, key)

    async def verify(self, identifier: str, key: str | None = None) -> Operation:
        return await self.desk.request("verify", CheckpointRequest(checkpoint_id=identifier), key)

    async def until_done(self, *asked: Operation) -> None:
        self.go.set()
        async with asyncio.timeout(10):
            while any(each.state is not OperationState.SUCCEEDED for each in asked):
                await asyncio.sleep(0.005)

    async def ours(self) -> None:
        return

    async def _work(self, operation: Operation) -> VerifyResult:
        await self.go.wait()
        assert isinstance(operation.request, RestoreRequest | CheckpointRequest)
        self.done.append(operation.request.checkpoint_id)
        return VerifyResult()


def run(directory: Path, story: Callable[[Line], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(Line(directory))

    asyncio.run(main())


def test_what_was_refused_because_it_could_not_be_written_is_never_done(tmp_path: Path) -> None:
    async def story(line: Line) -> None:
        first = await line.verify("first")
        (tmp_path / "operations.json").unlink()
        (tmp_path / "operations.json").mkdir()  # nothing can be renamed to that
        asking = [asyncio.create_task(line.restore("refused", key)) for key in ("k", "k", None)]
        await asyncio.sleep(0)
        line.go.set()  # the desk looks for more to do while these are being written
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(each) for each in answers] == [CheckpointError] * 3
        (tmp_path / "operations.json").rmdir()
        last = await line.verify("last")
        await line.until_done(first, last)
        assert line.done == ["first", "last"]
        again = await line.restore("refused", "k")
        await line.until_done(again)

    run(tmp_path, story)


def test_key_that_could_not_be_written_is_written_when_it_comes_again(tmp_path: Path) -> None:
    async def story(line: Line) -> None:
        first = await line.restore("a")
        await line.operations.note(first, line.operations.progress(first))
        (tmp_path / "operations.json").unlink()
        (tmp_path / "operations.json").mkdir()
        with pytest.raises(CheckpointError):
            await line.restore("a", "k")
        (tmp_path / "operations.json").rmdir()
        assert await line.restore("a", "k") is first
        later = Operations(StateFile(tmp_path / "operations.json"))
        later.load()
        with pytest.raises(KeyReused):
            later.recall("verify", CheckpointRequest(checkpoint_id="a"), "k")
        await line.until_done(first)

    run(tmp_path, story)


def test_restore_joins_only_the_last_one_that_waits(tmp_path: Path) -> None:
    async def story(line: Line) -> None:
        asked = [await line.restore("a"), await line.restore("b"), await line.restore("a")]
        assert await line.restore("a") is asked[2]
        await line.until_done(*asked)
        assert line.done == ["a", "b", "a"]

    run(tmp_path, story)


def test_verify_joins_whatever_was_asked_for_since(tmp_path: Path) -> None:
    async def story(line: Line) -> None:
        first, other = await line.verify("a"), await line.verify("b")
        assert await line.verify("a") is first
        restore = await line.restore("a")
        assert await line.verify("b") is other
        assert await line.restore("a") is restore
        await line.until_done(first, other, restore)

    run(tmp_path, story)


def test_verify_of_one_that_retention_took_meanwhile_says_so(tmp_path: Path) -> None:
    async def story(line: Line) -> None:
        works = {"verify": Verification(Shelf(CheckpointStore(tmp_path)))}
        desk = WorkDesk(line.operations, line.ours, works)
        operation = await desk.request("verify", CheckpointRequest(checkpoint_id="e000001-s000000001"), None)
        async with asyncio.timeout(10):
            while operation.problem is None:
                await asyncio.sleep(0.005)
        assert (operation.problem.status, operation.problem.type) == (404, "urn:penstock:problem:checkpoint-not-found")

    run(tmp_path, story)


def test_what_was_made_is_noted_however_long_the_disk_takes(tmp_path: Path) -> None:
    async def story(line: Line) -> None:
        operation = await line.verify("a")
        file = tmp_path / "operations.json"
        await line.operations.note(operation, Progress())
        file.unlink()
        file.mkdir()
        noting = asyncio.create_task(line.operations.insist(operation, Progress(made="x")))
        await asyncio.sleep(0)  # it takes its turn
        with pytest.raises(CheckpointError):  # and has failed when this one has
            await line.operations.note(operation, Progress(made="x"))
        assert not noting.done()
        file.rmdir()
        await asyncio.wait_for(noting, 10)
        assert '"made": "x"' in file.read_text()
        await line.until_done(operation)

    run(tmp_path, story)
