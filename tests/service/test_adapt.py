"""A changed model over HTTP: real checkpoints, and a real process that says what it was asked to begin anew."""

import json
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from service.folder import ServiceFolder
from streaming.checkpoints.derive import derive
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from tests.service.conftest import Sidecar, SidecarFactory, eventually
from tests.service.test_http import assert_problem
from tests.streaming.checkpoints.disks import flip


def adapt(one: Sidecar, identifier: str, **body: object) -> httpx.Response:
    return one.http.post(f"/v1/checkpoints/{identifier}/adapt", json=body)


def ids(run: Path) -> list[str]:
    return [info.id for info in CheckpointStore(run).list()]


def test_changed_model_begins_with_the_old_ledger_and_what_fits_in_a_new_process(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    before = one.reach("training")["worker"]
    operation = one.operation(adapt(one, line[0], init=["head/*"], reset_optimizer=True))
    newest = ids(run)[0]
    assert (operation["kind"], operation["result"]) == ("adapt", {"checkpoint_id": newest, "fresh": 1, "kept": 7})
    made = CheckpointStore(run).verify(newest)
    assert (made.cause, made.parent, made.positions) == ("adapt", line[0], {0: 10})
    assert (made.model_signature, made.scores) == ("changed", [])
    assert made.trainer_state["new_run"] == {"model.classes": 4}
    assert (run / newest / MODEL_FILE).read_text() == "weights 0, anew ['head/*'] True"
    assert (run / line[0] / MODEL_FILE).read_text() == "weights 0"
    after = eventually(lambda: (now := one.status()["worker"])["pid"] not in (None, before["pid"]) and now)
    assert after["pid"] != before["pid"]
    assert not (run / ".service" / "adapt").exists()
    assert not CheckpointStore(run).list()[-1].pinned


def test_dry_run_tells_what_would_begin_anew_and_stops_nobody(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    before = one.reach("training")["worker"]
    operation = one.operation(adapt(one, line[1], init=["head/kernel", "head/bias"], dry_run=True))
    assert operation["result"] == {"fresh": 2, "kept": 7, "names": ["head/kernel", "head/bias"]}
    assert ids(run) == line[::-1]
    assert one.status()["worker"]["pid"] == before["pid"]


@pytest.mark.parametrize(
    ("errand", "slug", "detail"),
    [
        ("misfits", "checkpoint-mismatch", "variable head/kernel: another"),
        ("refuses", "user-code-failed", "model.build = a:b: no such thing"),
        ("dies", "adapt-failed", "its process ended with exit code 3: terminate called"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_changes(
    sidecar: SidecarFactory, run: Path, line: list[str], errand: str, slug: str, detail: str
) -> None:
    one = sidecar("well", errands=errand)
    before = one.reach("training")["worker"]
    failed = one.operation(adapt(one, line[1]))
    assert (failed["problem"]["type"], failed["problem"]["detail"]) == (f"urn:penstock:problem:{slug}", detail)
    assert ids(run) == line[::-1]
    assert (one.status()["worker"]["pid"], one.status()["state"]) == (before["pid"], "training")


def test_none_a_damaged_one_and_records_that_are_gone_are_refused(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.reach("training")
    assert_problem(adapt(one, "e000009-s000000009"), HTTPStatus.NOT_FOUND, "checkpoint-not-found")
    one.watermarks.starts = {0: 11}
    look = f"/v1/checkpoints/{line[0]}/restore"
    eventually(lambda: one.http.post(look, json={"dry_run": True}).json()["gone"])
    assert_problem(adapt(one, line[0]), HTTPStatus.CONFLICT, "records-gone")
    assert one.operation(adapt(one, line[0], dry_run=True))["state"] == "succeeded"
    assert one.operation(adapt(one, line[0], accept_loss=True))["state"] == "succeeded"
    flip(run / line[1] / MODEL_FILE)
    failed = one.operation(adapt(one, line[1]))
    assert failed["problem"]["type"] == "urn:penstock:problem:checkpoint-damaged"
    assert_problem(adapt(one, line[1]), HTTPStatus.CONFLICT, "checkpoint-damaged")


def test_service_killed_after_the_checkpoint_was_made_makes_no_second_one(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    folder = ServiceFolder(CheckpointStore(run))
    folder.create()
    made = derive(CheckpointStore(run), line[0], epoch=folder.next_epoch(), cause="adapt")
    wanted = {"init": [], "reset_optimizer": False, "accept_loss": False, "dry_run": False}
    operation = {
        "id": "op", "kind": "adapt", "state": "running", "created_at": "2026-11-23T10:00:00Z",
        "request": {"checkpoint_id": line[0], **wanted},
    }  # fmt: skip
    progress = {"epoch": made.epoch, "counts": {"fresh": 1, "kept": 2}, "attempts": 1}
    (folder.path / "operations.json").write_text(json.dumps([{"operation": operation, "progress": progress}]))
    one = sidecar("well")
    ended = eventually(lambda: (body := one.http.get("/v1/operations/op").json())["state"] == "succeeded" and body)
    assert ended["result"] == {"checkpoint_id": made.id, "fresh": 1, "kept": 2}
    assert not (tmp_path / "errands").exists()
