"""Positions moved and stretches left out, over HTTP, while training is stopped."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.offsets import Log, Outlook, outlook
from service.operation import PartitionEdit
from service.work_desk import Refused
from streaming.checkpoints.store import CheckpointStore
from streaming.control.decisions import DECISION
from streaming.decided import caught_up
from streaming.ledger.ledger import Kind, Ledger
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory, eventually, worker_log
from tests.service.test_http import assert_problem

LOG = Log({0: 5}, {0: 100})


def settled() -> Ledger:
    """Position 16; 0..9 trained, 10..12 dead-lettered, 13 absent, 14 held out, 15 excluded, 20..24 trained."""
    return ledger_with(
        trained=[*range(10), *range(20, 25)], dead_lettered=[10, 11, 12], absent=[13], held_out=[14], excluded=[15]
    )


def looked(ledger: Ledger, **edit: Any) -> Outlook:
    (found,) = outlook(ledger, [PartitionEdit(partition=0, **edit)], LOG)
    return found


def test_a_position_moves_forward_by_excluding_what_is_owed() -> None:
    ledger = settled()
    found = looked(ledger, position=30)
    assert (found.position, list(found.excluded), list(found.owed)) == (30, [*range(16, 20), *range(25, 30)], [])
    assert ledger.count(0, Kind.EXCLUDED) == 10


def test_stretches_leave_out_what_is_owed_and_tell_what_is_in_the_weights() -> None:
    found = looked(settled(), exclude=[(8, 18), (17, 22), (40, 41)])
    assert (found.position, list(found.excluded)) == (25, [16, 17, 18, 19, 40])
    assert list(found.kept) == [8, 9, 14, 20, 21]


def test_a_position_moves_back_over_what_was_not_trained() -> None:
    found = looked(settled(), position=10)
    assert (found.position, list(found.owed), list(found.excluded)) == (10, [10, 11, 12, 13, 15], [])
    assert list(found.kept) == [14]
    both = looked(settled(), position=15, exclude=[(15, 18)])
    assert (both.position, list(both.owed), list(both.excluded)) == (18, [], [16, 17])


@pytest.mark.parametrize(
    ("edit", "slug"),
    [
        ({"partition": 3, "position": 1}, "partition-unknown"),
        ({"partition": 0, "position": 101}, "beyond-log-end"),
        ({"partition": 0, "exclude": [(50, 2**63 - 1)]}, "beyond-log-end"),
        ({"partition": 0, "position": 4}, "records-gone"),
        ({"partition": 0, "position": 6}, "already-trained"),
    ],
)
def test_what_cannot_be_is_refused(edit: dict[str, Any], slug: str) -> None:
    with pytest.raises(Refused) as refused:
        outlook(settled(), [PartitionEdit(**edit)], LOG)
    assert refused.value.problem.type.endswith(slug)


def test_nothing_is_owed_from_before_the_origin() -> None:
    ledger = Ledger(settled().generation)
    ledger.open_partition(0, 50)
    with pytest.raises(Refused, match="begins at offset 50"):
        looked(ledger, position=49)


@pytest.fixture
def one(sidecar: SidecarFactory, tmp_path: Path) -> Sidecar:
    """Stopped, over one checkpoint."""
    write(tmp_path / "run", settled())
    service = sidecar("well")
    service.watermarks.starts, service.watermarks.ends = {0: 5}, {0: 100}
    service.reach("training")
    service.http.post("/v1/stop")
    service.reach("stopped")
    seen(service, 5)
    return service


def seen(one: Sidecar, start: int) -> None:
    """The service has looked at the log's ends."""
    eventually(lambda: one.http.get("/v1/offsets").json()["partitions"][0]["log_end"] == 100)
    assert one.http.get("/v1/offsets").json()["partitions"][0]["log_start"] == start


def edit(one: Sidecar, dry_run: bool = False, **partition: Any) -> httpx.Response:
    body = {"partitions": [{"partition": 0} | partition], "dry_run": dry_run}
    return one.http.patch("/v1/offsets", json=body)


def position(one: Sidecar) -> int:
    (partition,) = one.http.get("/v1/offsets").json()["partitions"]
    number: int = partition["position"]
    return number


def as_the_worker_has_it(run: Path) -> Ledger:
    store = CheckpointStore(run)
    newest, _ = store.newest_valid()
    assert newest is not None
    file = run / ".service" / "decisions.jsonl"
    known = [DECISION.validate_json(line) for line in file.read_text().splitlines()] if file.exists() else []
    return caught_up(store.ledger(newest.id), known, newest.decisions)


def test_an_edit_is_told_first_and_then_made_as_a_new_checkpoint(one: Sidecar, tmp_path: Path) -> None:
    shown = one.http.get("/v1/offsets").json()["partitions"]
    assert shown == [
        {
            "topic": "pets", "partition": 0, "origin": 0, "position": 16, "log_start": 5, "log_end": 100,
            "excluded": [[15, 16]],
        }
    ]  # fmt: skip
    told = edit(one, dry_run=True, exclude=[[14, 18]]).json()["partitions"][0]
    assert (told["position"], told["excluded_intervals"], told["kept_intervals"]) == (18, [[16, 18]], [[14, 15]])
    assert position(one) == 16
    result = one.operation(edit(one, exclude=[[14, 18]]))["result"]
    assert (result["excluded"], result["owed"]) == (2, 0)
    newest = one.http.get(f"/v1/checkpoints/{result['checkpoint_id']}").json()
    assert newest["cause"] == "edit"
    assert position(one) == 18
    assert one.reach("stopped")["partitions"][0]["position"] == 18
    # Excluded for good, whatever is restored; and no worker has been started for any of it.
    (decision,) = (tmp_path / "run" / ".service" / "decisions.jsonl").read_text().splitlines()
    assert json.loads(decision)["offsets"] == {"0": [[16, 18]]}
    assert worker_log(tmp_path).count("configure") == 1


def test_what_was_excluded_by_mistake_can_be_owed_again(one: Sidecar, tmp_path: Path) -> None:
    one.operation(edit(one, position=20))
    assert position(one) == 25
    result = one.operation(edit(one, position=15))["result"]
    assert (result["excluded"], result["owed"], result["kept"]) == (0, 5, 5)
    assert position(one) == 15
    assert as_the_worker_has_it(tmp_path / "run").position(0) == 15
    assert one.operation(edit(one, position=15))["result"] == {"excluded": 0, "owed": 0, "kept": 0}


def test_a_record_in_quarantine_still_gets_its_letter(sidecar: SidecarFactory, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, ledger_with(trained=range(5)))
    (run / ".service").mkdir()
    found = {"kind": "quarantine", "at": 1, "topic_id": "id", "partition": 0, "offset": 7, "detail": "SIGSEGV"}
    (run / ".service" / "decisions.jsonl").write_text(json.dumps(found) + "\n")
    (run / ".service" / "desired.json").write_text('{"state": "stopped"}')
    one = sidecar("well")
    one.watermarks.ends = {0: 100}
    one.reach("stopped")
    seen(one, 0)
    one.operation(edit(one, exclude=[[5, 6]]))
    newest, _ = CheckpointStore(run).newest_valid()
    assert newest is not None
    kinds = [json.loads(line)["kind"] for line in (run / ".service" / "decisions.jsonl").read_text().splitlines()]
    assert (kinds, newest.decisions) == (["quarantine", "skip", "quarantine"], 2)


def test_offsets_stay_while_a_worker_runs_or_kafka_is_away(one: Sidecar) -> None:
    for wrong in ({}, {"position": -1}, {"exclude": [[3, 3]]}, {"exclude": [[3]]}, {"position": 2**63}):
        assert_problem(edit(one, **wrong), HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    twice = one.http.patch("/v1/offsets", json={"partitions": [{"partition": 0, "position": 20}] * 2})
    assert_problem(twice, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    assert_problem(edit(one, position=9), HTTPStatus.CONFLICT, "already-trained")
    assert_problem(edit(one, exclude=[[0, 3]]), HTTPStatus.CONFLICT, "already-trained")
    one.http.post("/v1/start")
    one.reach("training")
    assert_problem(edit(one, position=20), HTTPStatus.CONFLICT, "not-stopped")
    assert edit(one, dry_run=True, position=20).status_code == HTTPStatus.OK
