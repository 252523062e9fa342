"""A new run over HTTP: checkpoints are put aside while no worker works, once, whatever is killed meanwhile."""

import json
from pathlib import Path

import pytest

from service.folder import ServiceFolder
from streaming.checkpoints.manifest import parse_id
from streaming.checkpoints.store import CheckpointStore
from tests.service.conftest import SidecarFactory, eventually


def kept(folder: Path) -> list[str]:
    return [info.id for info in CheckpointStore(folder).list()]


def test_new_run_puts_all_aside_and_a_new_process_begins_without(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    before = one.reach("training")["worker"]
    told = one.http.post("/v1/new-run", json={"dry_run": True})
    assert told.status_code == 200
    size = sum(info.size_bytes for info in CheckpointStore(run).list())
    folder = str(run / ".archive")
    assert told.json() == {"checkpoints": 2, "size_bytes": size, "folder": folder, "start": "earliest"}
    assert (kept(run), one.status()["worker"]["pid"]) == (line[::-1], before["pid"])
    operation = one.operation(one.http.post("/v1/new-run"))
    assert operation["kind"] == "new-run"
    made = Path(operation["result"]["archive"])
    assert (operation["result"]["checkpoints"], made.parent) == (2, run / ".archive")
    assert (kept(run), kept(made)) == ([], line[::-1])
    after = eventually(lambda: (now := one.status()["worker"])["pid"] not in (None, before["pid"]) and now)
    assert after["restarts"] == before["restarts"]
    one.reach("training")
    assert one.http.get("/v1/checkpoints").json()["checkpoints"] == []
    assert ServiceFolder(CheckpointStore(run)).next_epoch() > parse_id(line[1])[0] + 1


def test_new_run_without_checkpoints_stops_nobody(sidecar: SidecarFactory, run: Path) -> None:
    one = sidecar("well")
    before = one.reach("training")["worker"]
    assert one.operation(one.http.post("/v1/new-run"))["result"] == {"checkpoints": 0}
    assert one.status()["worker"]["pid"] == before["pid"]
    assert not (run / ".archive").exists()


def test_failed_service_begins_anew(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well,fails,well")
    one.reach("failed")
    assert one.operation(one.http.post("/v1/new-run"))["state"] == "succeeded"
    one.reach("training")
    assert kept(run) == []


@pytest.mark.parametrize("moved", [0, 1])
def test_service_killed_in_between_finishes_before_a_worker_starts(
    sidecar: SidecarFactory, run: Path, line: list[str], moved: int
) -> None:
    folder = ServiceFolder(CheckpointStore(run))
    folder.create()
    operation = {
        "id": "op", "kind": "new-run", "state": "running", "created_at": "2026-11-23T10:00:00Z",
        "request": {"start": "earliest"},
    }  # fmt: skip
    progress = {"archive": "then", "counts": {"checkpoints": 2}, "attempts": 1}
    (folder.path / "operations.json").write_text(json.dumps([{"operation": operation, "progress": progress}]))
    folder.archive.begin("then")
    target = folder.archive.path("then")
    target.mkdir(parents=True)
    for identifier in line[:moved]:
        (run / identifier).rename(target / identifier)
    one = sidecar("well")
    ended = eventually(lambda: (body := one.http.get("/v1/operations/op").json())["state"] == "succeeded" and body)
    assert ended["result"] == {"archive": str(target), "checkpoints": 2}
    assert (kept(run), kept(target)) == ([], line[::-1])
    assert [each.name for each in target.parent.iterdir()] == ["then"]


def test_disk_that_refuses_is_tried_again_before_a_worker_starts(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.reach("training")
    (run / ".archive").write_text("in the way")
    where = one.http.post("/v1/new-run").headers["location"]
    eventually(lambda: (run / ".service" / "archiving.json").exists())
    assert one.status()["worker"]["pid"] is None
    (run / ".archive").unlink()
    eventually(lambda: one.http.get(where).json()["state"] == "succeeded")
    one.reach("training")
    assert kept(run) == []
