"""Training stopped and started over HTTP: the worker goes, the service stays."""

from http import HTTPStatus
from pathlib import Path

from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory, eventually, worker_log
from tests.service.test_http import assert_problem


def say(one: Sidecar, what: str) -> str:
    answer = one.http.post(f"/v1/{what}")
    assert answer.status_code == HTTPStatus.OK, answer.text
    desired: str = answer.json()["desired_state"]
    return desired


def test_a_stop_ends_the_worker_with_a_checkpoint_and_outlives_the_service(
    sidecar: SidecarFactory, tmp_path: Path
) -> None:
    one = sidecar("well")
    one.reach("training")
    assert [say(one, "stop"), say(one, "stop")] == ["stopped", "stopped"]
    status = one.reach("stopped")
    assert (status["desired_state"], status["worker"]["pid"], status["problems"]) == ("stopped", None, [])
    assert worker_log(tmp_path) == ["configure", "shutdown"]
    assert [one.http.get(f"/{probe}").status_code for probe in ("livez", "readyz", "startupz")] == [200, 200, 200]
    one.stop()
    again = sidecar("well")
    again.reach("stopped")
    assert worker_log(tmp_path) == ["configure", "shutdown"]
    assert [say(again, "start"), say(again, "start")] == ["running", "running"]
    status = again.reach("training")
    assert (status["worker"]["restarts"], worker_log(tmp_path)) == (0, ["configure", "shutdown", "configure"])


def test_a_stopped_training_can_be_paused_and_a_start_leaves_a_pause_alone(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    one.reach("training")
    say(one, "stop")
    one.reach("stopped")
    assert say(one, "pause") == "paused"
    one.reach("paused")
    assert say(one, "start") == "paused"
    say(one, "stop")
    one.reach("stopped")
    assert say(one, "resume") == "running"
    one.reach("training")


def test_a_worker_that_keeps_dying_can_be_stopped(sidecar: SidecarFactory) -> None:
    one = sidecar("dies", restart_backoff_s=30)
    eventually(lambda: one.status()["worker"]["restarts"] == 2)  # the second restart has a back-off
    say(one, "stop")
    one.reach("stopped")


def test_no_checkpoint_is_promised_while_stopped(sidecar: SidecarFactory) -> None:
    one = sidecar("starting")
    waiting = one.http.post("/v1/checkpoints", json={"label": "x"})
    say(one, "stop")
    problem = one.operation(waiting)["problem"]
    assert problem["type"] == "urn:penstock:problem:not-now"
    assert "/v1/start" in problem["detail"]
    one.reach("stopped")
    assert_problem(one.http.post("/v1/checkpoints"), HTTPStatus.CONFLICT, "not-now")


def test_a_restore_while_stopped_leaves_it_stopped(sidecar: SidecarFactory, tmp_path: Path) -> None:
    line = write(tmp_path / "run", *(ledger_with(trained=range(stop)) for stop in (10, 20)))
    one = sidecar("well")
    one.reach("training")
    say(one, "stop")
    one.reach("stopped")
    done = one.operation(one.http.post(f"/v1/checkpoints/{line[0]}/restore"))
    assert done["state"] == "succeeded"
    status = one.reach("stopped")
    assert [each["position"] for each in status["partitions"]] == [10]
    assert worker_log(tmp_path).count("configure") == 1
    say(one, "start")
    one.reach("training")


def test_a_draining_worker_leaves_by_itself_or_at_the_second_stop(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("well,clogged")
    one.reach("training")
    say(one, "stop?drain=true")
    status = one.reach("stopped")
    assert (worker_log(tmp_path), status["worker"]["restarts"]) == (["configure", "drain"], 0)
    say(one, "start")
    one.reach("training")
    say(one, "stop?drain=true")
    one.reach("draining")
    say(one, "stop")
    one.reach("stopped")
    assert worker_log(tmp_path)[-2:] == ["drain", "shutdown"]
    refused = one.http.post("/v1/stop?drain=perhaps")
    assert_problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request")
