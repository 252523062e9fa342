"""Checkpoints on demand, from the request to the end of their operation."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.client import Client
from service.folder import StateFile
from service.operation import OperationState, Progress, SaveRequest
from service.operations import KEPT, MOST_OPEN, Operations
from service.save_desk import SaveDesk
from service.worker_view import WorkerView
from streaming.demo.ports import free_port
from streaming.errors import CheckpointError
from tests.service.conftest import Sidecar, SidecarFactory


def test_checkpoint_succeeds_and_names_its_checkpoint(training: Sidecar) -> None:
    response = training.http.post("/v1/checkpoints", json={"label": "before the move", "pin": True})
    assert response.json().keys() >= {"id", "kind", "state", "created_at"}
    operation = training.operation(response)
    assert operation["kind"] == "checkpoint"
    assert operation["result"]["checkpoint_id"].startswith("e000001-")
    assert training.http.get("/v1/operations").json()["operations"][0]["id"] == operation["id"]


def test_save_that_fails_is_a_failed_operation_with_a_problem(training: Sidecar) -> None:
    operation = training.operation(training.http.post("/v1/checkpoints", json={"label": "impossible"}))
    assert operation["state"] == "failed"
    assert operation["problem"]["type"] == "urn:penstock:problem:save-failed"
    assert operation["problem"]["detail"] == "disk full"


def test_idempotency_key_gives_the_same_operation_for_ever(training: Sidecar) -> None:
    assert training.http.post("/v1/checkpoints", headers={"Idempotency-Key": ""}).status_code == 422
    key = {"Idempotency-Key": "abc"}
    first = training.operation(training.http.post("/v1/checkpoints", headers=key))
    again = training.http.post("/v1/checkpoints", headers=key)
    assert again.json()["id"] == first["id"]
    other = training.http.post("/v1/checkpoints", headers=key, json={"label": "other"})
    assert other.status_code == 422
    assert other.json()["type"] == "urn:penstock:problem:idempotency-key-reused"


def test_checkpoint_requests_join(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("starting")  # nothing is sent before a worker is ready, so that all of them meet
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: one.http.post("/v1/checkpoints"), range(24)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_too_many_different_requests_are_429(sidecar: SidecarFactory) -> None:
    one = sidecar("starting")
    for number in range(MOST_OPEN):
        assert one.http.post("/v1/checkpoints", json={"label": str(number)}).status_code == 202
    refused = one.http.post("/v1/checkpoints", json={"label": "one more"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


def test_request_outlives_the_worker_that_dies_with_it(sidecar: SidecarFactory) -> None:
    one = sidecar("saveless,well")
    one.reach("training")
    operation = one.operation(one.http.post("/v1/checkpoints"))
    assert operation["result"]["checkpoint_id"].startswith("e000002-")


def test_who_waits_for_an_operation_outlasts_a_restart(sidecar: SidecarFactory) -> None:
    port = free_port()
    first = sidecar("starting", grace_s=0.1, port=port)
    client = Client(first.url, None)
    operation = client.post("/v1/checkpoints")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.wait_for, operation, 60)
        first.stop()
        sidecar("well", port=port)
        assert waiting.result(60)["state"] == "succeeded"


def test_operation_survives_restart(sidecar: SidecarFactory) -> None:
    first = sidecar("starting", grace_s=0.1)
    response = first.http.post("/v1/checkpoints", headers={"Idempotency-Key": "k"})
    first.stop()
    second = sidecar("well")
    operation = second.operation(response)
    assert operation["state"] == "succeeded"
    assert second.http.post("/v1/checkpoints", headers={"Idempotency-Key": "k"}).json()["id"] == operation["id"]


def test_open_requests_fail_when_the_service_fails(sidecar: SidecarFactory) -> None:
    one = sidecar("starting", stall_s=0.3, restart_budget=0)
    operation = one.operation(one.http.post("/v1/checkpoints"))
    assert operation["problem"]["type"] == "urn:penstock:problem:restart-budget-exhausted"


def test_request_that_nobody_takes_fails_at_its_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        operations = Operations(StateFile(tmp_path / "operations.json"))
        desk = SaveDesk(operations, WorkerView(60), lambda _: False, ours_at_once, deadline_s=0.05)
        operation = await desk.request(SaveRequest(), None)
        async with asyncio.timeout(5):
            while operation.state is OperationState.QUEUED:
                await asyncio.sleep(0.005)
        assert operation.problem is not None
        assert operation.problem.type.endswith("checkpoint-deadline")

    asyncio.run(main())


def test_operations_are_bounded_and_never_lose_an_open_one(tmp_path: Path) -> None:
    async def main() -> None:
        file = StateFile(tmp_path / "operations.json")
        operations = Operations(file)
        waiting = operations.create("checkpoint", SaveRequest())
        for _ in range(KEPT + 50):
            operations.create("checkpoint", SaveRequest()).state = OperationState.SUCCEEDED
        await operations.note(waiting, Progress())
        again = Operations(file)
        again.load()
        assert len(again.newest_first()) == KEPT
        assert again.unfinished("checkpoint") == [waiting]

    asyncio.run(main())


async def ours_at_once() -> None:
    return


def test_a_request_that_could_not_be_written_is_refused_and_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        operations = Operations(StateFile(tmp_path / "not yet" / "operations.json"))
        desk = SaveDesk(operations, WorkerView(60), lambda _: False, ours_at_once)
        with pytest.raises(CheckpointError):
            await desk.request(SaveRequest(), "k")
        assert operations.newest_first() == []
        (tmp_path / "not yet").mkdir()
        operation = await desk.request(SaveRequest(), "k")
        assert operations.newest_first() == [operation]

    asyncio.run(main())


def test_what_was_to_be_written_soon_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        file = StateFile(tmp_path / "not yet" / "state.json")
        file.write_soon(lambda: "state")
        await asyncio.sleep(0)  # it takes its turn
        with pytest.raises(CheckpointError):  # and has failed when this one has
            await file.write(lambda: "other")
        (tmp_path / "not yet").mkdir()
        await file.flush()
        assert file.read() == "state"

    asyncio.run(main())


@pytest.mark.parametrize("label", ["\\ud800", "two\\nlines", "x" * 201])
def test_a_label_that_no_file_can_hold_is_refused(sidecar: SidecarFactory, label: str) -> None:
    one = sidecar("starting")
    body = f'{{"label": "{label}"}}'.encode()
    answer = one.http.post("/v1/checkpoints", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert one.http.get("/v1/operations").json()["operations"] == []
