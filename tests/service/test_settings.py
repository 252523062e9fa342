"""Live settings over HTTP: at once, over every restart, until they are taken back."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.ignored import begun_otherwise, without_effect
from streaming.settings_sources import Given
from tests.service.conftest import Sidecar, SidecarFactory, eventually, settings_for, worker_log
from tests.service.test_process import process

URL = "/v1/settings"
RATE, INTERVAL, LEVEL = "model.learning_rate", "checkpoint.interval_s", "service.log_level"


def rows(body: Any) -> dict[str, Any]:
    return {row["name"]: row for row in body["settings"]}


def shown(one: Sidecar) -> dict[str, Any]:
    return rows(one.http.get(URL).raise_for_status().json())


def patch(one: Sidecar, **changes: object) -> httpx.Response:
    return one.http.patch(URL, json={name.replace("__", "."): value for name, value in changes.items()})


def refused(answer: httpx.Response, status: HTTPStatus, slug: str) -> str:
    body = answer.json()
    assert (answer.status_code, body["type"]) == (status, f"urn:penstock:problem:{slug}"), body
    return str(body["detail"])


def test_each_setting_is_told_with_its_value_its_source_and_when_it_applies(training: Sidecar) -> None:
    found = shown(training)
    assert (found[RATE]["value"], found[RATE]["source"], found[RATE]["applies"]) == (0.003, "default", "live")
    assert found["kafka.topic"]["applies"] == "new run"
    assert found["pipeline.batch_size"]["applies"] == "restart"
    assert {row["applies"] for row in found.values()} == {"live", "restart", "new run"}
    assert [name for name, row in found.items() if row["applies"] == "live"] == [RATE, INTERVAL, LEVEL]


def test_a_patched_value_is_told_at_once_wins_over_restarts_and_is_taken_back_with_null(
    sidecar: SidecarFactory, tmp_path: Path
) -> None:
    first = sidecar("well")
    first.reach("training")
    answer = rows(patch(first, model__learning_rate=0.01, checkpoint__interval_s=30).raise_for_status().json())
    assert (answer[RATE]["value"], answer[RATE]["source"]) == (0.01, "api")
    assert (answer[INTERVAL]["value"], answer[LEVEL]["source"]) == (30, "default")
    told = [f"change {RATE}=0.01 api", f"change {INTERVAL}=30.0 api"]
    eventually(lambda: worker_log(tmp_path)[1:] == told)
    first.stop()

    second = sidecar("well")
    second.reach("training")
    assert worker_log(tmp_path)[-1] == f"configure {RATE}=0.01 {INTERVAL}=30.0"
    assert rows(patch(second, model__learning_rate=None).json())[RATE]["source"] == "default"
    eventually(lambda: worker_log(tmp_path)[-1] == f"change {RATE}=0.003 default")
    assert shown(second)[INTERVAL]["source"] == "api"
    second.stop()
    sidecar("well").reach("training")
    assert worker_log(tmp_path)[-1] == f"configure {INTERVAL}=30.0"


def test_a_worker_that_is_started_again_gets_what_was_patched(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("well")
    one.reach("training")
    one.http.post("/v1/stop")
    one.reach("stopped")
    assert patch(one, checkpoint__interval_s=7).status_code == HTTPStatus.OK
    one.http.post("/v1/start")
    one.reach("training")
    assert worker_log(tmp_path)[-1] == f"configure {INTERVAL}=7.0"


def test_a_schedule_is_not_overruled_and_the_remedy_is_told(sidecar: SidecarFactory, tmp_path: Path) -> None:
    one = sidecar("scheduled")
    one.reach("training")
    detail = refused(patch(one, model__learning_rate=0.01), HTTPStatus.CONFLICT, "learning-rate-scheduled")
    assert "model.build" in detail
    assert patch(one, model__learning_rate=None).status_code == HTTPStatus.OK
    assert shown(one)[RATE]["ignored"] == "the optimizer follows a schedule of its own"
    assert (shown(one)[RATE]["source"], worker_log(tmp_path)[1:2]) == ("default", [f"change {RATE}=0.003 default"])


def test_a_learning_rate_waits_until_it_is_known_whether_the_optimizer_takes_one(sidecar: SidecarFactory) -> None:
    one = sidecar("starting")
    one.reach("restoring")
    assert "ask again" in refused(patch(one, model__learning_rate=0.01), HTTPStatus.CONFLICT, "not-now")
    assert patch(one, checkpoint__interval_s=5).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"kafka.topic": "b"}, "kafka.topic applies at a new run"),
        ({"pipeline.batch_size": 8}, "pipeline.batch_size applies at a restart"),
        ({"no.such": 1}, "no.such"),
        ({RATE: 0}, "greater than 0"),
        ({RATE: 1e300}, "less than or equal to 1000"),
        ({RATE: "fast"}, "valid number"),
        ({INTERVAL: True}, "valid number"),
        ({LEVEL: "loud"}, "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name_and_changes_nothing(
    training: Sidecar, body: dict[str, object], said: str
) -> None:
    before = shown(training)
    assert said in refused(
        training.http.patch(URL, json={LEVEL: "debug", **body}), HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request"
    )
    assert shown(training) == before


def test_settings_need_the_token_and_show_no_secret(sidecar: SidecarFactory) -> None:
    one = sidecar("well", token="s3cret")
    one.reach("training")
    refused(one.http.get(URL), HTTPStatus.UNAUTHORIZED, "unauthorized")
    refused(one.http.patch(URL, json={INTERVAL: 5}), HTTPStatus.UNAUTHORIZED, "unauthorized")
    answer = one.http.get(URL, headers={"Authorization": "Bearer s3cret"})
    assert "s3cret" not in answer.text
    assert rows(answer.json())["service.token"]["value"] == "********"


def test_a_file_that_holds_something_else_is_named_and_nothing_begins(sidecar: SidecarFactory, tmp_path: Path) -> None:
    kept = tmp_path / "run" / ".service" / "settings.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"kafka.topic": "b"}')
    one = sidecar("well")
    problem = one.reach("failed")["problems"][0]
    assert problem["id"] == "checkpoint-storage"
    assert "settings.json" in problem["detail"]
    assert "move it away" in problem["detail"]


def test_the_log_level_counts_at_once(tmp_path: Path) -> None:
    with process(tmp_path, "well") as (one, url):
        eventually(lambda: httpx.get(f"{url}/v1/status").json()["state"] == "training")
        assert httpx.patch(url + URL, json={LEVEL: "error"}).status_code == HTTPStatus.OK
        operation = httpx.post(f"{url}/v1/checkpoints").headers["location"]
        eventually(lambda: httpx.get(url + operation).json()["state"] == "succeeded")
        assert httpx.patch(url + URL, json={LEVEL: None}).status_code == HTTPStatus.OK
        one.terminate()
        output, _ = one.communicate(timeout=10)
    events = [json.loads(line) for line in output.splitlines()]
    assert [each["after"] for each in events if each["event"] == "setting_patched"] == ["info"]
    assert [each["cause"] for each in events if each["event"] == "checkpoint_committed"] == ["final"]


def test_settings_that_are_given_and_idle_are_told_with_the_reason(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    given = {"checkpoint.base": (Given("file", "/data"),)}
    assert without_effect(settings, given) == {"checkpoint.base": "checkpoint.directory is set"}
    assert without_effect(settings, {}) == {}
    began = {"kafka.start": "latest", "pipeline.seed": 0}
    assert begun_otherwise(began, settings) == {"kafka.start": "this training began with latest"}
