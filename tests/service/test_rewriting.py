"""What a restore leaves out, loses and repeats, and when it is given up."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.consequences import leaving_out
from service.folder import ServiceFolder
from service.head import Head, Rewrite
from service.operation import RestoreRequest
from service.operations import Operations
from streaming.checkpoints.derive import derive
from streaming.checkpoints.durable import TRASH
from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import DECISION
from streaming.decided import caught_up
from streaming.errors import CheckpointError
from streaming.ledger.intervals import from_intervals
from streaming.ledger.ledger import Kind
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import SidecarFactory, eventually, worker_log
from tests.service.test_restore import restore, restored
from tests.service.test_supervisor import Bench
from tests.streaming.checkpoints.disks import FailingDisk

TRUNCATED = {"kind": "accept_truncation", "at": 1, "topic_id": "id", "ends": {"0": 8}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def line(run: Path) -> list[str]:
    """Three checkpoints of ten records more each."""
    return write(run, *(ledger_with(trained=range(stop)) for stop in (10, 20, 30)))


def decisions(run: Path) -> list[dict[str, Any]]:
    file = run / ".service" / "decisions.jsonl"
    return [json.loads(each) for each in file.read_text().splitlines()] if file.exists() else []


def unfinished(run: Path, kind: str, request: dict[str, object], **progress: object) -> None:
    """An operation, `op`, that an earlier service was at when it was killed."""
    operation = {
        "id": "op", "kind": kind, "state": "running", "created_at": datetime.now(UTC).isoformat(), "request": request,
    }  # fmt: skip
    (run / ".service").mkdir(exist_ok=True)
    kept = [{"operation": operation, "keys": [], "progress": progress}]
    (run / ".service" / "operations.json").write_text(json.dumps(kept))


def test_what_was_skipped_is_trained_by_no_older_checkpoint(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.operation(restore(one, line[1], records="skip"))
    (decision,) = decisions(run)
    assert (decision["kind"], decision["offsets"]) == ("skip", {"0": [[20, 30]]})
    assert restore(one, line[0], dry_run=True).json()["partitions"][0]["intervals"] == [[10, 20]]
    made = one.operation(restore(one, line[0]))["result"]["checkpoint_id"]
    store = CheckpointStore(run)
    known = [DECISION.validate_python(each) for each in decisions(run)]
    ledger = caught_up(store.ledger(made), known, store.manifest(made).decisions)  # as the worker does
    assert list(ledger.unsettled(0, 0, 40)) == [*range(10, 20), *range(30, 40)]


def test_skip_that_was_cut_short_before_it_was_decided_is_decided_once(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    operation = one.operation(restore(one, line[1], records="skip"))
    one.stop()
    for lines in (0, 1):  # killed before the decision, and after it
        file = run / ".service" / "decisions.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:lines]))
        made = operation["result"]["checkpoint_id"]
        unfinished(run, "restore", operation["request"], made=made)
        again = sidecar("well")
        eventually(lambda again=again: again.http.get("/v1/operations/op").json()["state"] == "succeeded")
        again.stop()
        assert [each["kind"] for each in decisions(run)] == ["skip"]


def test_skip_is_not_undone_by_a_decision_that_was_taken_in_long_ago(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    """The log was cut at 8, that was accepted, and what stands there now has been trained up to 30."""
    store = CheckpointStore(run)
    folder = ServiceFolder(store)
    folder.create()
    (run / ".service" / "decisions.jsonl").write_text(json.dumps(TRUNCATED) + "\n")
    derive(store, line[2], epoch=folder.next_epoch(), cause="edit", fields={"decisions": 1})
    one = sidecar("well")
    told = restore(one, line[0], dry_run=True).json()["partitions"][0]
    assert (told["position"], told["intervals"]) == (8, [[8, 30]])
    made = one.operation(restore(one, line[0], records="skip"))["result"]["checkpoint_id"]
    known = [DECISION.validate_python(each) for each in decisions(run)]
    ledger = caught_up(store.ledger(made), known, store.manifest(made).decisions)
    assert list(ledger.kind_intervals(0, Kind.TRAINED)) == [(0, 8)]
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(8, 30)]


def test_loss_is_judged_when_the_worker_has_taken_its_last_checkpoint(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    one = sidecar("stubborn", grace_s=2)
    one.reach("training")
    asked = restore(one, line[0])
    eventually(lambda: "park" in worker_log(tmp_path))
    one.watermarks.starts = {0: 11}
    assert one.operation(asked)["problem"]["type"] == "urn:penstock:problem:records-gone"
    assert (list(restored(run)), decisions(run)) == ([], [])
    one.reach("training")


def test_failure_of_a_restore_is_on_the_disk_before_it_is_told(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    """Else the next service would carry out what somebody was told had failed."""
    one = sidecar("stubborn", grace_s=1)
    one.reach("training")
    asked = restore(one, line[0])
    eventually(lambda: "park" in worker_log(tmp_path))
    file, aside = run / ".service" / "operations.json", run / "aside"
    file.rename(aside)
    file.mkdir()  # no file can be put in its place
    one.watermarks.starts = {0: 11}
    where = asked.headers["location"]
    eventually(lambda: worker_log(tmp_path).count("configure") == 2)
    assert one.http.get(where).json()["state"] == "running"
    file.rmdir()
    assert one.operation(asked)["problem"]["type"] == "urn:penstock:problem:records-gone"
    (kept,) = json.loads(file.read_text())
    assert kept["progress"]["given_up"]["type"] == "urn:penstock:problem:records-gone"
    kept["operation"] |= {"state": "running", "finished_at": None, "problem": None}  # as if killed right after that
    one.stop()
    file.write_text(json.dumps([kept]))
    again = sidecar("well")
    assert eventually(lambda: (body := again.http.get(where).json())["state"] == "failed" and body)["problem"]
    assert list(restored(run)) == []


def test_no_loss_is_accepted_where_there_is_none(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well")
    one.operation(restore(one, line[1], accept_loss=True))
    one.watermarks.starts = {0: 15}
    eventually(lambda: restore(one, line[0], dry_run=True).json()["gone"] == 5)
    one.operation(restore(one, line[0], accept_loss=True, records="skip"))
    assert [each["kind"] for each in decisions(run)] == ["skip"]


def test_restore_that_ends_the_service_each_time_is_given_up(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    request = {"checkpoint_id": line[0], "records": "retrain", "accept_loss": False}
    unfinished(run, "restore", request, attempts=3)
    one = sidecar("well")
    one.reach("training")
    ended = eventually(lambda: (body := one.http.get("/v1/operations/op").json())["state"] == "failed" and body)
    assert "begun 3 times" in ended["problem"]["detail"]
    assert worker_log(tmp_path) == ["configure"]


@pytest.mark.parametrize("undone", [False, True], ids=["stands", "undone"])
def test_checkpoint_that_could_be_neither_finished_nor_undone_is_the_one_made(
    tmp_path: Path, run: Path, line: list[str], undone: bool
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path, "well")
        count = FailingDisk(10**6, OSError(5, "bad disk"))
        derive(CheckpointStore(run, count), line[0], epoch=bench.folder.next_epoch(), cause="edit")
        store = CheckpointStore(
            run, FailingDisk(count.operations, OSError(5, "bad disk"))
        )  # the fsync after the rename
        if not undone:
            (run / f"{TRASH}{checkpoint_id(3, 4)}" / "full").mkdir(parents=True)
        operations = Operations(bench.folder.operations)
        operation = operations.create(
            "restore", RestoreRequest(checkpoint_id=line[0], records="retrain", accept_loss=False)
        )

        async def prepare() -> Rewrite:
            return Rewrite(line[0], "restore")

        rewriting = Head(store, bench.folder, bench.supervisor, operations).rewrite(operation, "a test", prepare)
        if undone:
            with pytest.raises(CheckpointError, match="bad disk"):
                await rewriting
            assert operations.progress(operation).made is None
        else:
            assert (await rewriting).checkpoint_id == store.list()[0].id == checkpoint_id(3, 4)
        await bench.folder.flush()

    asyncio.run(story())


def test_leaving_out_two_hundred_thousand_intervals_takes_no_time() -> None:
    now, then = (ledger_with(trained=range(2)) for _ in range(2))
    now.record(0, Kind.TRAINED, from_intervals((start, start + 1) for start in range(3, 400_000, 2)))
    began = time.process_time()
    after = leaving_out(now)(then)
    assert time.process_time() - began < 1
    assert after.settled(0) == now.settled(0)
