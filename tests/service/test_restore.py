"""Verify and restore over HTTP, with real checkpoints and a real worker process that restores none of them."""

import json
import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.folder import ServiceFolder
from streaming.checkpoints.derive import derive
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.ledger.ledger import Generation, Kind, Ledger
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory, eventually, worker_log
from tests.service.test_http import assert_problem
from tests.service.test_process import process
from tests.streaming.checkpoints.disks import flip


@pytest.fixture
def line(run: Path) -> list[str]:
    """Two checkpoints: the older one has trained [0, 10), the newer one [0, 20) and more, with a hole at 12."""
    newer = ledger_with(trained=[*range(12), *range(13, 20)], lost=range(20, 25), dead_lettered=[25])
    return write(run, ledger_with(trained=range(10)), newer)


def restore(one: Sidecar, identifier: str, **body: object) -> httpx.Response:
    return one.http.post(f"/v1/checkpoints/{identifier}/restore", json=body)


def restored(run: Path) -> Iterator[Any]:
    """Manifests that a restore has made."""
    store = CheckpointStore(run)
    for info in store.list():
        if info.cause == "restore":
            yield store.manifest(info.id)


def test_restore_makes_the_old_one_the_newest_and_the_same_process_goes_on_from_it(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    before = one.reach("training")["worker"]
    operation = one.operation(restore(one, line[0]))
    (made,) = restored(run)
    assert operation["result"] == {"checkpoint_id": made.id}
    assert operation["kind"] == "restore"
    assert (made.parent, made.step, made.positions) == (line[0], 0, {0: 10})
    newest = one.http.get("/v1/checkpoints").json()["checkpoints"][0]
    assert (newest["id"], newest["parent"], newest["cause"]) == (made.id, line[0], "restore")
    after = one.reach("training")["worker"]
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)
    assert worker_log(tmp_path) == ["configure", "park", "configure"]
    restarts = re.findall(r"^penstock_worker_restarts_total{.*} (.+)$", one.http.get("/metrics").text, re.MULTILINE)
    assert set(restarts) == {"0.0"}
    assert not one.http.get(f"/v1/checkpoints/{line[0]}").json()["pinned"]


def test_dry_run_tells_the_consequences_and_does_nothing(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well")
    one.watermarks.starts = {0: 11}
    eventually(lambda: restore(one, line[0], dry_run=True).json()["gone"] == 1)
    told = restore(one, line[0], dry_run=True)
    assert told.status_code == 200
    assert told.json() == {
        "checkpoint_id": line[0], "newest": line[1], "records": "retrain", "again": 15, "gone": 1,
        "partitions": [
            {
                "topic": "pets", "partition": 0, "position": 10, "again": 15, "trained": 9,
                "intervals": [[10, 12], [13, 26]], "gone": 1, "gone_intervals": [[10, 11]],
                "excluded": 0, "excluded_intervals": [], "kept": 0, "kept_intervals": [],
            }
        ],
    }  # fmt: skip
    assert list(restored(run)) == []


def test_what_the_topic_has_no_more_is_409_unless_accepted_or_skipped(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.watermarks.starts = {}
    for starts, gone in (({}, None), ({0: 11}, 1)):
        one.watermarks.starts = starts
        eventually(lambda gone=gone: restore(one, line[0], dry_run=True).json()["gone"] == gone)
        assert_problem(restore(one, line[0]), HTTPStatus.CONFLICT, "records-gone")
    assert one.operation(restore(one, line[0], accept_loss=True))["state"] == "succeeded"
    decision = json.loads((run / ".service" / "decisions.jsonl").read_text())
    assert (decision["kind"], decision["topic_id"], decision["before"]) == ("accept_loss", "id", {"0": 11})


def test_skip_excludes_what_was_settled_since(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well")
    one.watermarks.starts = {0: 11}
    made = one.operation(restore(one, line[0], records="skip"))["result"]["checkpoint_id"]
    ledger = CheckpointStore(run).ledger(made)
    assert list(ledger.kind_intervals(0, Kind.TRAINED)) == [(0, 10)]
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(10, 12), (13, 26)]
    assert ledger.position(0) == 12


def test_dry_run_of_skip_tells_the_position_that_skip_leads_to(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    (told,) = restore(one, line[0], dry_run=True, records="skip").json()["partitions"]
    assert told["position"] == 12
    recreated = Ledger(Generation("cluster", "pets", "another"))
    recreated.open_partition(0, 0)
    store = CheckpointStore(run)
    epoch = ServiceFolder(store).next_epoch()
    derive(store, line[1], epoch=epoch, cause="edit", change=lambda _: recreated)
    refused = restore(one, line[0], dry_run=True, records="skip")
    assert_problem(refused, HTTPStatus.CONFLICT, "topic-recreated")


def test_excluded_stretches_are_left_out_of_this_and_every_older_checkpoint(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.watermarks.starts, one.watermarks.ends = {0: 11}, {0: 30}
    stretches = [{"partition": 0, "start": 10, "stop": 12}, {"partition": 0, "start": 28, "stop": 30}]
    eventually(lambda: restore(one, line[0], dry_run=True).json()["gone"] == 1)
    (told,) = restore(one, line[0], dry_run=True, exclude=stretches).json()["partitions"]
    assert (told["position"], told["again"], told["gone"], told["excluded"], told["kept"]) == (12, 13, 0, 4, 0)
    assert told["excluded_intervals"] == [[10, 12], [28, 30]]
    made = one.operation(restore(one, line[0], exclude=stretches))["result"]["checkpoint_id"]
    ledger = CheckpointStore(run).ledger(made)
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(10, 12), (28, 30)]
    assert list(ledger.kind_intervals(0, Kind.TRAINED)) == [(0, 10)]
    (decision,) = (run / ".service" / "decisions.jsonl").read_text().splitlines()
    assert json.loads(decision)["offsets"] == {"0": [[10, 12], [28, 30]]}
    (after,) = restore(one, line[0], dry_run=True).json()["partitions"]
    assert (after["position"], after["again"]) == (12, 0)


def test_exclude_goes_together_with_skip(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well")
    one.watermarks.starts, one.watermarks.ends = {0: 0}, {0: 30}
    stretches = [{"partition": 0, "start": 12, "stop": 13}, {"partition": 0, "start": 29, "stop": 30}]
    eventually(lambda: restore(one, line[0], dry_run=True, exclude=stretches).status_code == HTTPStatus.OK)
    made = one.operation(restore(one, line[0], records="skip", exclude=stretches))["result"]["checkpoint_id"]
    assert list(CheckpointStore(run).ledger(made).kind_intervals(0, Kind.EXCLUDED)) == [(10, 26), (29, 30)]


@pytest.mark.parametrize(
    ("stretch", "slug"),
    [
        ((0, 5, 12), "already-trained"),
        ((0, 28, 31), "beyond-log-end"),
        ((7, 0, 1), "partition-unknown"),
    ],
)
def test_what_cannot_be_excluded_is_409(
    sidecar: SidecarFactory, run: Path, line: list[str], stretch: tuple[int, int, int], slug: str
) -> None:
    one = sidecar("well")
    one.watermarks.starts, one.watermarks.ends = {0: 0}, {0: 30}
    exclude = [dict(zip(("partition", "start", "stop"), stretch, strict=True))]
    reachable = [{"partition": 0, "start": 29, "stop": 30}]
    eventually(lambda: restore(one, line[0], dry_run=True, exclude=reachable).status_code == HTTPStatus.OK)
    refused = restore(one, line[0], exclude=exclude)
    assert_problem(refused, HTTPStatus.CONFLICT, slug)
    assert list(restored(run)) == []
    if slug == "already-trained":
        (told,) = restore(one, line[0], dry_run=True, exclude=exclude).json()["partitions"]
        assert (told["kept"], told["kept_intervals"], told["excluded"]) == (5, [[5, 10]], 2)


def test_what_may_be_still_to_come_is_not_excluded_while_kafka_is_away(
    sidecar: SidecarFactory, line: list[str]
) -> None:
    one = sidecar("well")
    one.watermarks.starts, one.watermarks.ends = {}, {}
    refused = restore(one, line[0], exclude=[{"partition": 0, "start": 28, "stop": 30}], accept_loss=True)
    assert_problem(refused, HTTPStatus.CONFLICT, "kafka-unavailable")


def test_empty_stretch_is_422_naming_it(sidecar: SidecarFactory, line: list[str]) -> None:
    refused = restore(sidecar("well"), line[0], exclude=[{"partition": 0, "start": 5, "stop": 5}])
    assert_problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    assert "start < stop" in refused.json()["detail"]


def test_failed_service_is_restored_and_trains_again(sidecar: SidecarFactory, line: list[str]) -> None:
    one = sidecar("well,fails,well")
    one.reach("failed")
    assert one.operation(restore(one, line[0]))["state"] == "succeeded"
    assert one.reach("training")["problems"] == []


def test_cut_log_is_answered_before_a_restore_and_then_holds_for_every_checkpoint(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well,truncated,well")
    one.reach("failed")
    refused = one.operation(restore(one, line[0], records="skip"))
    assert (refused["state"], refused["problem"]["type"]) == ("failed", "urn:penstock:problem:log-truncated")
    assert one.status()["problems"][0]["type"] == "log-truncated"
    assert one.http.post("/v1/problems/log-truncated/resolve", json={"answer": "retrain"}).status_code == HTTPStatus.OK
    one.reach("training")
    made = one.operation(restore(one, line[0], records="skip"))["result"]["checkpoint_id"]
    assert list(CheckpointStore(run).ledger(made).kind_intervals(0, Kind.EXCLUDED)) == [(10, 12), (13, 15)]


def test_what_is_in_no_weights_is_not_skipped(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    """The newest checkpoint's model is damaged, so the worker has gone on from its parent."""
    one = sidecar("well")
    one.reach("training")
    flip(run / line[1] / MODEL_FILE)
    made = one.operation(restore(one, line[0], records="skip"))["result"]["checkpoint_id"]
    assert list(CheckpointStore(run).ledger(made).kind_intervals(0, Kind.EXCLUDED)) == []


def test_worker_that_does_not_let_go_is_killed_for_it(sidecar: SidecarFactory, line: list[str]) -> None:
    one = sidecar("stubborn", grace_s=0.3)
    pid = one.reach("training")["worker"]["pid"]
    assert one.operation(restore(one, line[0]))["state"] == "succeeded"
    assert one.reach("training")["worker"]["pid"] != pid


def test_parked_worker_that_dies_is_replaced(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well,mortal,well")
    pid = one.reach("training")["worker"]["pid"]
    assert one.operation(restore(one, line[0]))["state"] == "succeeded"
    status = one.reach("training")
    assert status["worker"]["pid"] != pid
    assert [made.parent for made in restored(run)] == [line[0]]


@pytest.mark.parametrize("how", ["stop", "end"])
def test_parked_worker_does_not_outlive_a_stop(sidecar: SidecarFactory, run: Path, line: list[str], how: str) -> None:
    one = sidecar("well")
    pid = one.reach("training")["worker"]["pid"]
    epoch = run / ".service" / "epoch"
    epoch.rename(run / "aside")
    epoch.mkdir()  # no writer epoch can be taken: neither a checkpoint is made nor a worker started
    assert one.operation(restore(one, line[0]))["state"] == "failed"
    assert eventually(lambda: "no worker can start" in one.status()["worker"]["doing"])
    os.kill(pid, 0)
    if how == "stop":
        one.http.post("/v1/stop")
    else:
        one.stop()
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_worker_killed_right_after_a_restore_begins_with_it_again(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.reach("training")
    made = one.operation(restore(one, line[0]))["result"]["checkpoint_id"]
    os.kill(eventually(lambda: one.status()["worker"]["pid"]), signal.SIGKILL)
    eventually(lambda: one.status()["worker"]["restarts"] == 1)
    newest, _ = CheckpointStore(run).newest_valid()
    assert newest is not None
    assert newest.id == made


def test_unknown_and_damaged_are_refused_before_a_worker_is_stopped(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    one.reach("training")
    assert_problem(restore(one, "e000009-s000000009"), HTTPStatus.NOT_FOUND, "checkpoint-not-found")
    flip(run / line[0] / MODEL_FILE)
    operation = one.operation(restore(one, line[0]))
    assert operation["problem"]["type"] == "urn:penstock:problem:checkpoint-damaged"
    assert_problem(restore(one, line[0]), HTTPStatus.CONFLICT, "checkpoint-damaged")  # known by now
    flip(run / line[1] / LEDGER_FILE)
    assert_problem(restore(one, line[1], dry_run=True), HTTPStatus.CONFLICT, "checkpoint-damaged")
    assert worker_log(tmp_path) == ["configure"]


def test_verify_says_which_file_is_damaged_and_the_list_shows_it(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    sound = one.operation(one.http.post(f"/v1/checkpoints/{line[0]}/verify"))
    assert (sound["kind"], sound["result"]) == ("verify", {"integrity": "verified"})
    flip(run / line[1] / MODEL_FILE)
    damaged = one.operation(one.http.post(f"/v1/checkpoints/{line[1]}/verify"))
    assert damaged["problem"]["type"] == "urn:penstock:problem:checkpoint-damaged"
    assert MODEL_FILE in damaged["problem"]["detail"]
    listed = one.http.get("/v1/checkpoints").json()["checkpoints"]
    assert [each["integrity"] for each in listed] == ["damaged", "verified"]
    missing = one.http.post("/v1/checkpoints/e000009-s000000009/verify")
    assert_problem(missing, HTTPStatus.NOT_FOUND, "checkpoint-not-found")


def test_same_request_joins_and_a_key_remembers_its_kind(sidecar: SidecarFactory, line: list[str]) -> None:
    one = sidecar("well")
    key = {"Idempotency-Key": "k"}
    url = f"/v1/checkpoints/{line[0]}"
    first = one.operation(one.http.post(f"{url}/verify", headers=key))
    assert one.http.post(f"{url}/verify", headers=key).json()["id"] == first["id"]
    other = one.http.post(f"{url}/restore", headers=key)
    assert_problem(other, HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused")


@pytest.mark.parametrize("made", [True, False], ids=["after", "before"])
def test_restore_cut_short_is_taken_up_once(sidecar: SidecarFactory, run: Path, line: list[str], made: bool) -> None:
    """The service was killed after it had written down the epoch, before or after there was the checkpoint."""
    store = CheckpointStore(run)
    folder = ServiceFolder(store)
    folder.create()
    epoch = folder.next_epoch()
    if made:
        derive(store, line[0], epoch=epoch, cause="restore")
    operation = {
        "id": "op", "kind": "restore", "state": "running", "created_at": datetime.now(UTC).isoformat(),
        "request": {"checkpoint_id": line[0], "records": "retrain", "accept_loss": False},
    }  # fmt: skip
    store.set_pinned(line[0], True)
    kept = [{"operation": operation, "keys": [], "progress": {"epoch": epoch, "unpin": True}}]
    (run / ".service" / "operations.json").write_text(json.dumps(kept))
    one = sidecar("well")
    ended = eventually(lambda: (body := one.http.get("/v1/operations/op").json())["state"] == "succeeded" and body)
    (manifest,) = restored(run)
    assert ended["result"]["checkpoint_id"] == manifest.id
    assert (manifest.parent, manifest.epoch == epoch) == (line[0], made)
    assert not one.http.get(f"/v1/checkpoints/{line[0]}").json()["pinned"]
    one.reach("training")


def test_restore_whose_success_was_not_written_is_not_done_again_when_its_checkpoint_is_gone(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    made = one.operation(restore(one, line[0]))["result"]["checkpoint_id"]
    one.stop()
    file = run / ".service" / "operations.json"
    (kept,) = json.loads(file.read_text())
    kept["operation"] |= {"state": "running", "result": None, "finished_at": None}
    file.write_text(json.dumps([kept]))
    derive(CheckpointStore(run), made, epoch=ServiceFolder(CheckpointStore(run)).next_epoch(), cause="edit")
    CheckpointStore(run).delete(made)
    again = sidecar("well")
    ended = eventually(
        lambda: (body := again.http.get("/v1/operations").json()["operations"][0])["state"] == "succeeded" and body
    )
    assert ended["result"]["checkpoint_id"] == made
    assert list(restored(run)) == []


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.2])
def test_service_killed_during_a_restore_has_done_it_once_in_the_end(
    tmp_path: Path, run: Path, line: list[str], wait_s: float
) -> None:
    with process(tmp_path, "well") as (one, url):
        eventually(lambda: httpx.get(f"{url}/v1/status").json()["state"] == "training")
        where = httpx.post(f"{url}/v1/checkpoints/{line[0]}/restore", json={"accept_loss": True}).headers["location"]
        signal.sigtimedwait([], wait_s)
        one.kill()
        one.wait()
    with process(tmp_path, "well") as (_, url):
        ended = eventually(lambda: (body := httpx.get(url + where).json())["state"] == "succeeded" and body)
        (manifest,) = restored(run)
        assert ended["result"]["checkpoint_id"] == manifest.id
        assert not [info.id for info in CheckpointStore(run).list() if info.pinned]


def test_service_that_is_stopped_finishes_the_restore_first(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("stubborn", grace_s=0.5)
    one.reach("training")
    where = restore(one, line[0]).headers["location"]
    eventually(lambda: one.status()["state"] == "draining")
    one.stop()
    (manifest,) = restored(run)
    again = sidecar("well")
    assert again.http.get(where).json()["result"]["checkpoint_id"] == manifest.id


def test_several_restores_are_done_one_after_the_other(sidecar: SidecarFactory, run: Path, line: list[str]) -> None:
    one = sidecar("well")
    one.reach("training")
    answers = [restore(one, identifier, accept_loss=True) for identifier in line]
    made = [one.operation(answer)["result"]["checkpoint_id"] for answer in answers]
    assert [CheckpointStore(run).manifest(each).parent for each in made] == line
    assert made == sorted(made)
    one.reach("training")


def test_key_gets_its_operation_whatever_has_become_of_the_checkpoint(
    sidecar: SidecarFactory, run: Path, line: list[str]
) -> None:
    one = sidecar("well")
    asked = {}
    for work in ("verify", "restore"):
        asked[work] = (f"/v1/checkpoints/{line[0]}/{work}", {"Idempotency-Key": work})
    first = {work: one.operation(one.http.post(url, headers=key)) for work, (url, key) in asked.items()}
    CheckpointStore(run).delete(line[0])
    for work, (url, key) in asked.items():
        assert one.http.post(url, headers=key).json() == first[work]
        assert_problem(one.http.post(url), HTTPStatus.NOT_FOUND, "checkpoint-not-found")
