"""Checkpoints labelled, pinned, thrown away and compared over HTTP."""

from http import HTTPStatus
from pathlib import Path

import pytest

from streaming.checkpoints.store import CheckpointStore
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory
from tests.service.test_http import assert_problem

MISSING = "e000009-s000000009"


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    return write(
        tmp_path / "run",
        ledger_with(trained=range(10)),
        ledger_with(trained=[*range(10), *range(12, 20)], dead_lettered=[10, 11]),
        ledger_with(trained=range(20), held_out=[20]),
    )


@pytest.fixture
def one(sidecar: SidecarFactory, line: list[str]) -> Sidecar:
    return sidecar("starting")


def ids(one: Sidecar) -> list[str]:
    return [each["id"] for each in one.http.get("/v1/checkpoints").json()["checkpoints"]]


def test_only_what_is_given_is_changed(one: Sidecar, line: list[str]) -> None:
    url = f"/v1/checkpoints/{line[0]}"
    for changes, now in (
        ({"label": "before the new camera"}, ("before the new camera", False)),
        ({"pinned": True}, ("before the new camera", True)),
        ({}, ("before the new camera", True)),
        ({"label": None, "pinned": False}, (None, False)),
    ):
        told = one.http.patch(url, json=changes).json()
        assert (told["label"], told["pinned"]) == now
        assert one.http.get(url).json() == told
    for wrong in ({"pinned": "perhaps"}, {"step": 3}, {"label": "x" * 201}, {"pinned": None}):
        assert_problem(one.http.patch(url, json=wrong), HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
    gone = one.http.patch(f"/v1/checkpoints/{MISSING}", json={"pinned": True})
    assert_problem(gone, HTTPStatus.NOT_FOUND, "checkpoint-not-found")


def test_neither_a_pinned_checkpoint_nor_the_one_a_restart_needs_can_be_deleted(
    one: Sidecar, line: list[str], tmp_path: Path
) -> None:
    assert one.http.patch(f"/v1/checkpoints/{line[0]}", json={"pinned": True}).status_code == HTTPStatus.OK
    for needed in (line[0], line[2]):
        assert_problem(one.http.delete(f"/v1/checkpoints/{needed}"), HTTPStatus.CONFLICT, "checkpoint-needed")
    assert one.http.delete(f"/v1/checkpoints/{line[1]}").status_code == HTTPStatus.NO_CONTENT
    assert_problem(one.http.delete(f"/v1/checkpoints/{line[1]}"), HTTPStatus.NOT_FOUND, "checkpoint-not-found")
    assert ids(one) == [line[2], line[0]]
    newest, passed_over = CheckpointStore(tmp_path / "run").newest_valid()
    assert newest is not None
    assert (newest.id, passed_over) == (line[2], [])


def test_the_older_one_is_needed_once_the_newest_is_damaged(one: Sidecar, line: list[str], tmp_path: Path) -> None:
    (tmp_path / "run" / line[2] / "ledger.safetensors").write_bytes(b"")
    assert_problem(one.http.delete(f"/v1/checkpoints/{line[1]}"), HTTPStatus.CONFLICT, "checkpoint-needed")
    assert one.http.delete(f"/v1/checkpoints/{line[0]}").status_code == HTTPStatus.NO_CONTENT


def test_nothing_changes_without_the_token(sidecar: SidecarFactory, line: list[str]) -> None:
    locked = sidecar("starting", token="s3cret")
    for answer in (
        locked.http.patch(f"/v1/checkpoints/{line[0]}", json={"pinned": True}),
        locked.http.delete(f"/v1/checkpoints/{line[0]}"),
    ):
        assert_problem(answer, HTTPStatus.UNAUTHORIZED, "unauthorized")
    assert ids(locked) == line[::-1]


def test_difference_of_two_checkpoints_is_what_one_has_and_the_other_has_not(one: Sidecar, line: list[str]) -> None:
    def diff(here: int, there: int, **parameters: object) -> dict[str, object]:
        answer = one.http.get(f"/v1/checkpoints/{line[here]}/diff", params={"to": line[there], **parameters})
        assert answer.status_code == HTTPStatus.OK, answer.text
        body: dict[str, object] = answer.json()
        return body

    ahead = diff(0, 2)
    assert (ahead["to"], ahead["steps"], ahead["next"]) == (line[2], 2, None)
    (partition,) = ahead["partitions"]
    assert (partition["position"], partition["trained"], partition["held_out"]) == (21, [[10, 20]], [[20, 21]])
    (partition,) = diff(1, 2)["partitions"]  # dead letters that were requeued
    assert (partition["trained"], partition["dead_lettered"]) == ([[10, 12]], [])
    (partition,) = diff(2, 1)["partitions"]
    assert (partition["position"], partition["trained"], partition["dead_lettered"]) == (20, [], [[10, 12]])
    first = diff(0, 2, limit=1)
    assert (first["partitions"][0]["trained"], first["partitions"][0]["held_out"]) == ([[10, 20]], [])
    assert diff(0, 2, limit=1, cursor=first["next"])["partitions"][0]["held_out"] == [[20, 21]]
    missing = one.http.get(f"/v1/checkpoints/{line[0]}/diff", params={"to": MISSING})
    assert_problem(missing, HTTPStatus.NOT_FOUND, "checkpoint-not-found")
    nameless = one.http.get(f"/v1/checkpoints/{line[0]}/diff")
    assert_problem(nameless, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
