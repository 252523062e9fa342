"""Problems answered over HTTP: durable, told to the worker, and a failed service begins again."""

import json
from http import HTTPStatus
from pathlib import Path

import httpx

from tests.service.conftest import Sidecar, SidecarFactory, eventually, worker_log
from tests.service.test_http import assert_problem, write_checkpoints


def decided(directory: Path) -> list[str]:
    lines = (directory / "run" / ".service" / "decisions.jsonl").read_text().splitlines()
    return [json.loads(line)["kind"] for line in lines]


def resolve(one: Sidecar, problem: str, answer: str) -> httpx.Response:
    return one.http.post(f"/v1/problems/{problem}/resolve", json={"answer": answer})


def second_life_heard(one: Sidecar, directory: Path) -> list[str]:
    """What both lives were told, once the second trains: the first trains too, for a moment."""
    eventually(lambda: (now := one.status())["state"] == "training" and now["worker"]["restarts"] == 1)
    return worker_log(directory)


def test_failed_service_begins_again_with_the_answer(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("recreated,well")
    (problem,) = one.reach("failed")["problems"]
    assert problem["answers"][0]["answer"] == "adopt"
    assert resolve(one, "topic-recreated", "adopt").json()["id"] == "topic-recreated"
    assert decided(tmp_path) == ["adopt_topic"]
    status = one.reach("training")
    assert status["problems"] == []
    assert worker_log(tmp_path) == ["configure", "configure adopt_topic"]
    assert_problem(resolve(one, "topic-recreated", "adopt"), HTTPStatus.NOT_FOUND, "problem-not-found")


def test_service_that_fails_again_can_be_answered_again(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("fails,fails,well")
    for times in (1, 2):
        eventually(lambda: one.status()["state"] == "failed")
        assert resolve(one, "records-all-bad", "continue").status_code == 200
        assert decided(tmp_path) == times * ["reset_breaker"]
    one.reach("training")
    assert one.status()["worker"]["restarts"] == 0


def test_running_worker_hears_the_answer_and_lives_on(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("loses")
    status = eventually(lambda: (status := one.status())["problems"] and status)
    assert resolve(one, "data-lost", "accept").status_code == 200
    after = eventually(lambda: not (now := one.status())["problems"] and now)
    assert after["worker"]["pid"] == status["worker"]["pid"]
    assert worker_log(tmp_path)[-1] == "decide accept_loss"


def test_wrong_answers_are_refused_with_what_to_do(sidecar: SidecarFactory) -> None:
    one = sidecar("crashes", restart_budget=0)
    one.reach("failed")
    refused = resolve(one, "restart-budget-exhausted", "continue")
    assert_problem(refused, HTTPStatus.CONFLICT, "not-resolvable")
    assert "worker_exited" in refused.json()["detail"]
    assert one.http.get("/v1/problems").json()["problems"][0]["answers"] == []


def test_unknown_answer_names_the_valid_ones(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("fails", token="s3cret")
    one.reach("failed")
    assert_problem(resolve(one, "records-all-bad", "continue"), HTTPStatus.UNAUTHORIZED, "unauthorized")
    one.http.headers["Authorization"] = "Bearer s3cret"
    refused = resolve(one, "records-all-bad", "accept")
    assert_problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-answer")
    assert refused.json()["detail"].endswith("valid: continue")
    assert not (tmp_path / "run" / ".service" / "decisions.jsonl").exists()


def test_record_found_before_a_crash_is_quarantined_in_the_next_life(sidecar: SidecarFactory, tmp_path: Path) -> None:
    write_checkpoints(tmp_path / "run", 1)  # names the topic; of epoch 1, so the first worker's is 2
    one = sidecar("well,poisoned,well")
    assert second_life_heard(one, tmp_path) == ["configure", "configure quarantine SIGSEGV"]
    line = json.loads((tmp_path / "run" / ".service" / "decisions.jsonl").read_text())
    assert (line["topic_id"], line["partition"], line["offset"]) == ("id", 0, 7)


def test_record_found_before_the_first_checkpoint_is_quarantined_too(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("poisoned,well")
    assert second_life_heard(one, tmp_path) == ["configure", "configure quarantine SIGSEGV"]


def test_decisions_survive_the_service(sidecar: SidecarFactory, tmp_path: Path) -> None:
    first = sidecar("recreated,well")
    first.reach("failed")
    resolve(first, "topic-recreated", "adopt")
    first.reach("training")
    first.stop()
    sidecar("well").reach("training")
    assert worker_log(tmp_path)[-1] == "configure adopt_topic"
