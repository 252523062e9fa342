"""Dead letters: listed from the newest ledger, and owed again."""

import json
from http import HTTPStatus
from pathlib import Path

import pytest

from service.letters import Letter, counts, letters_page, select
from service.operation import RequeueRequest
from streaming.checkpoints.store import CheckpointStore
from streaming.ledger.ledger import Kind, Ledger
from tests.service.checkpoints import GENERATION, write
from tests.service.conftest import SidecarFactory, eventually, worker_log
from tests.service.test_http import assert_problem

ALL = RequeueRequest(all=True)


@pytest.fixture
def ledger() -> Ledger:
    """Partition 0: decode 2, 5, 40 and mask_size 3; partition 7: decode 1 and one without a reason, 9."""
    ledger = Ledger(GENERATION)
    ledger.open_partition(0, 0)
    ledger.open_partition(7, 0)
    ledger.record(0, Kind.TRAINED, [0, 1, 4])
    ledger.record(0, Kind.DEAD_LETTERED, [2, 5, 40], "decode")
    ledger.record(0, Kind.DEAD_LETTERED, [3], "mask_size")
    ledger.record(7, Kind.DEAD_LETTERED, [1], "decode")
    ledger.record(7, Kind.DEAD_LETTERED, [9])
    return ledger


def chosen(ledger: Ledger, **wanted: object) -> dict[int, list[int]]:
    offsets = select(ledger, RequeueRequest.model_validate(wanted), set(), {}).offsets
    return {partition: list(each) for partition, each in offsets.items()}


def test_pages_are_newest_first_and_join_to_the_whole(ledger: Ledger) -> None:
    whole = letters_page(ledger, None, None, 100, None)
    assert whole.next is None
    assert whole.items == [
        Letter(0, 40, "decode"), Letter(0, 5, "decode"), Letter(0, 3, "mask_size"), Letter(0, 2, "decode"),
        Letter(7, 9, "unknown"), Letter(7, 1, "decode"),
    ]  # fmt: skip
    for limit in (1, 2, 4, 5):
        pieces: list[Letter] = []
        cursor = None
        while True:
            page = letters_page(ledger, None, None, limit, cursor)
            pieces += page.items
            if page.next is None:
                break
            cursor = page.next
        assert pieces == whole.items
    assert letters_page(ledger, "mask_size", 0, 100, None).items == [Letter(0, 3, "mask_size")]
    assert counts(ledger) == {"decode": 4, "mask_size": 1, "unknown": 1}


def test_selection_meets_all_conditions(ledger: Ledger) -> None:
    assert chosen(ledger, all=True) == {0: [2, 3, 5, 40], 7: [1, 9]}
    assert chosen(ledger, reason="decode") == {0: [2, 5, 40], 7: [1]}
    assert chosen(ledger, reason="decode", partitions=[0], before=40) == {0: [2, 5]}
    assert chosen(ledger, reason="unknown") == {7: [9]}
    assert chosen(ledger, reason="nothing") == {}


def test_quarantined_and_gone_records_are_left_alone(ledger: Ledger) -> None:
    selection = select(ledger, ALL, {(0, 5), (7, 1), (0, 4)}, {0: 3, 7: 2})
    assert {partition: list(each) for partition, each in selection.offsets.items()} == {0: [3, 40], 7: [9]}
    assert selection.counts == {"records": 3, "quarantined": 2, "gone": 1}


def test_requeue_owes_them_again_and_starts_another_worker(
    sidecar: SidecarFactory, tmp_path: Path, ledger: Ledger
) -> None:
    run = tmp_path / "run"
    (source,) = write(run, ledger)
    (run / ".service").mkdir()
    quarantine = {"kind": "quarantine", "at": 1, "topic_id": "id", "partition": 0, "offset": 5, "detail": "SIGSEGV"}
    (run / ".service" / "decisions.jsonl").write_text(json.dumps(quarantine) + "\n")
    one = sidecar("well")
    pid = one.reach("training")["worker"]["pid"]
    listed = one.http.get("/v1/dead-letters", params={"limit": 1}).json()
    assert listed == {
        "checkpoint_id": source,
        "counts": {"decode": 4, "mask_size": 1, "unknown": 1},
        "dead_letters": [{"topic": "pets", "partition": 0, "offset": 40, "reason": "decode"}],
        "next": "0.40",
    }
    result = one.operation(one.http.post("/v1/dead-letters/requeue", json={"reason": "decode"}))["result"]
    assert (result["records"], result["quarantined"], result["gone"]) == (3, 1, 0)
    store = CheckpointStore(run)
    manifest, after = store.manifest(result["checkpoint_id"]), store.ledger(result["checkpoint_id"])
    assert (manifest.parent, manifest.cause) == (source, "requeue")
    assert list(after.unsettled(0, 0, 41)) == [2, *range(6, 41)]
    assert after.position(0) == 2
    assert counts(after) == {"decode": 1, "mask_size": 1, "unknown": 1}
    assert one.reach("training")["worker"]["pid"] == pid


def test_nothing_to_requeue_makes_no_checkpoint(sidecar: SidecarFactory, tmp_path: Path, ledger: Ledger) -> None:
    write(tmp_path / "run", ledger)
    one = sidecar("well")
    one.reach("training")
    result = one.operation(one.http.post("/v1/dead-letters/requeue", json={"reason": "nothing"}))["result"]
    assert result == {"records": 0, "quarantined": 0, "gone": 0}
    assert len(one.http.get("/v1/checkpoints").json()["checkpoints"]) == 1
    assert worker_log(tmp_path) == ["configure"]


def test_requeue_says_which_and_waits_for_kafka(sidecar: SidecarFactory, tmp_path: Path, ledger: Ledger) -> None:
    write(tmp_path / "run", ledger)
    one = sidecar("well")
    one.watermarks.starts = {}
    for body in ({}, {"all": True, "reason": "decode"}, {"partitions": []}, {"other": 1}):
        refused = one.http.post("/v1/dead-letters/requeue", json=body)
        assert_problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    one.reach("training")
    (checkpoint,) = (each["id"] for each in one.http.get("/v1/checkpoints").json()["checkpoints"])
    where = f"/v1/checkpoints/{checkpoint}/restore"
    eventually(lambda: one.http.post(where, json={"dry_run": True}).json()["gone"] is None)
    refused = one.http.post("/v1/dead-letters/requeue", json={"all": True})
    assert one.operation(refused)["problem"]["type"] == "urn:penstock:problem:kafka-unavailable"
    assert worker_log(tmp_path) == ["configure"]


def test_dead_letters_need_the_token(sidecar: SidecarFactory) -> None:
    one = sidecar("well", token="s3cret")
    assert_problem(one.http.get("/v1/dead-letters"), HTTPStatus.UNAUTHORIZED, "unauthorized")
    allowed = one.http.get("/v1/dead-letters", headers={"Authorization": "Bearer s3cret"})
    assert allowed.json()["dead_letters"] == []


@pytest.mark.parametrize("body", ['{"reason": "\\ud800"}', '{"before": 9223372036854775808}', '{"partitions": [-1]}'])
def test_what_no_letter_can_have_is_refused(sidecar: SidecarFactory, body: str) -> None:
    one = sidecar("well")
    answer = one.http.post("/v1/dead-letters/requeue", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert one.http.get("/v1/operations").json()["operations"] == []
