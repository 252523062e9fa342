"""What the page lives on: the stream of events, the history behind its charts, the newest pictures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from service.folder import StateFile
from service.gallery import Gallery
from service.history import SERIES, History, Point, Tier
from service.journal import Happening, Journal
from service.lag import Lag
from service.operations import Operations
from service.recorder import Recorder
from service.routes.broadcast import Broadcast
from service.routes.events import MOST_LISTENERS
from service.tape import Tape
from service.worker_view import WorkerView
from streaming.control.messages import Problem, WorkerState
from tests.service.conftest import Sidecar, SidecarFactory, eventually
from tests.service.test_http import assert_problem
from tests.service.test_metrics import frame

TOKEN = "the-token-of-this-test"


def told(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Each event's name and data."""
    name = ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def until(one: Sidecar, name: str) -> dict[str, Any]:
    """All that a new listener is told, up to and with the first event of that name; the last one of each name."""
    found: dict[str, Any] = {}
    with one.http.stream("GET", "/v1/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for what, data in told(response):
            found[what] = data
            if what == name:
                break
    return found


def test_the_past_comes_first_then_the_present(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    one.reach("training")
    found = until(one, "newest")
    assert list(found)[:2] == ["opening", "status"]
    assert [tier["step_s"] for tier in found["opening"]["tiers"]] == [2, 30, 300]
    assert set(found["opening"]["tiers"][0]["series"]) == set(SERIES)
    assert found["status"].keys() == one.status().keys()
    assert found["newest"]["checkpoint"] is None


def test_what_happens_is_told_once_to_each_listener(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    one.reach("training")
    with one.http.stream("GET", "/v1/events") as response:
        events = told(response)
        next(events)
        one.operation(httpx.post(f"{one.url}/v1/checkpoints", json={"label": "mine"}))
        happenings = (data for name, data in events if name == "happening")
        made = next(each for each in happenings if each["about"] == "operation")
    assert made["text"].startswith("checkpoint succeeded: e000001-s")
    past = until(one, "opening")["opening"]["happenings"]
    assert [each["text"] for each in past].count(made["text"]) == 1
    assert [each["number"] for each in past] == sorted({each["number"] for each in past})


def test_a_problem_is_told_again_when_it_spreads_and_is_over_when_a_worker_says_so() -> None:
    view = WorkerView(stall_s=10)
    journal = Journal(view)

    def told(detail: str = "", facts: dict[str, Any] | None = None) -> list[str]:
        """Of a look at a worker with this problem, or with none."""
        problem = Problem(type="data-lost", detail=detail, since=1.7e9, facts=facts or {})
        view.report(frame().model_copy(update={"problems": [problem] if facts else []}))
        return looked()

    def looked() -> list[str]:
        before = journal.happenings.newest
        journal.look([])
        return [each.item.text for each in journal.happenings.after(before) if each.item.about == "problem"]

    assert told("in 4 h: 1", {"partitions": [1]}) == ["data-lost: in 4 h: 1"]
    assert told("in 3 h: 1", {"partitions": [1]}) == []
    assert told("in 2 h: 0", {"partitions": [0, 1]}) == ["data-lost: in 2 h: 0"]
    assert told("in 2 h: 0", {"partitions": [0]}) == []
    assert told("in 1 h: 1", {"partitions": [1, 0]}) == []
    view.end(WorkerState.RESTARTING, "a worker ended")
    assert looked() == []
    assert told("in 1 h: 1", {"partitions": [1, 0]}) == []
    assert told() == ["data-lost is over"]
    assert told("9 gone", {"topic_id": "id", "before": {"0": 9}}) == ["data-lost: 9 gone"]
    assert told("12 gone", {"topic_id": "id", "before": {"0": 12}}) == ["data-lost: 12 gone"]


def test_work_of_an_earlier_service_is_no_news(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    one.reach("training")
    one.operation(one.http.post("/v1/checkpoints", json={"label": "mine"}))
    one.stop()
    again = sidecar("well")
    again.reach("training")
    again.operation(again.http.post("/v1/checkpoints", json={"label": "another"}))
    past = eventually(
        lambda: [each for each in until(again, "opening")["opening"]["happenings"] if each["about"] == "operation"]
    )
    assert len(past) == 1


def test_a_worker_that_ends_by_itself_is_an_event_to_look_into(sidecar: SidecarFactory) -> None:
    one = sidecar("commits,well")
    eventually(lambda: one.status()["worker"]["restarts"] == 1)
    one.reach("training")
    past = eventually(
        lambda: [each for each in until(one, "opening")["opening"]["happenings"] if each["about"] == "worker"]
    )
    assert [(each["bad"], "code 3" in each["text"]) for each in past] == [(True, True)]


def test_a_listener_too_many_is_told_to_come_later(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    streams = [one.http.stream("GET", "/v1/events") for _ in range(MOST_LISTENERS)]
    for each in streams:
        assert each.__enter__().status_code == 200
    answer = httpx.get(f"{one.url}/v1/events")
    assert_problem(answer, 429, "too-many-requests")
    assert answer.headers["retry-after"]
    assert httpx.get(f"{one.url}/v1/status").status_code == 200
    for each in streams:
        each.__exit__(None, None, None)
    eventually(lambda: "opening" in until(one, "opening"))


def test_a_stream_ends_with_the_service(sidecar: SidecarFactory) -> None:
    one = sidecar("well")
    with one.http.stream("GET", "/v1/events") as response:
        events = told(response)
        next(events)
        one.stop()
        assert "opening" not in [name for name, _ in events]


def test_listeners_share_what_is_made_once_and_a_slow_one_is_told_what_it_missed(tmp_path: Path) -> None:
    view, lag = WorkerView(stall_s=10), Lag()
    recorder = Recorder(view, lag, Operations(StateFile(tmp_path / "operations.json")), Journal(view))
    broadcast = Broadcast("pets", view, lag, recorder, Gallery())

    def happens(text: str) -> None:
        recorder.journal.happenings.add(Happening(1.7e9, "state", text, bad=False))
        recorder.looks += 1

    opening, slow = broadcast.after(None)
    assert broadcast.after(None)[0] is opening
    happens("one")
    first, quick = broadcast.after(slow)
    assert broadcast.after(slow)[0] is first
    happens("two")
    assert b"one" not in broadcast.after(quick)[0]
    told, caught_up = broadcast.after(slow)
    assert told.index(b'"one"') < told.index(b'"two"')
    assert caught_up == broadcast.after(quick)[1]


def test_pictures_need_the_token_and_come_newest_first(sidecar: SidecarFactory) -> None:
    one = sidecar("well", token=TOKEN)
    one.reach("training")
    assert_problem(one.http.get("/v1/samples"), 401, "unauthorized")
    one.http.headers["Authorization"] = f"Bearer {TOKEN}"
    shown = eventually(lambda: (body := one.http.get("/v1/samples?limit=1").json())["samples"] and body)
    assert shown["colours"] == ["#f4a23a", "#203a54"]
    assert (shown["samples"][0]["offset"], shown["samples"][0]["wrong"]) == (7, 0.25)


def test_the_past_grows_coarser_and_nothing_infinite_is_kept() -> None:
    history = History((Tier(2, 3), Tier(10, 2)))
    made: list[Point] = []
    for second in range(0, 42, 2):
        loss = float("inf") if second == 4 else float(second)
        made += history.add(1000.0 + second, {"loss": loss})
    assert [point.values["loss"] for point in history.tier(0)] == [36, 38, 40]
    assert [point.values["loss"] for point in history.tier(1)] == [24, 34]  # 20 to 28, 30 to 38
    first = next(point for point in made if point.tier == 1)
    assert (first.at, first.values["loss"]) == (1008.0, 4.0)  # of 0, 2, 6 and 8


def test_a_tape_forgets_from_its_end_only() -> None:
    tape: Tape[str] = Tape(2)
    for letter in "abc":
        tape.add(letter)
    assert [(each.number, each.item) for each in tape.after(0)] == [(2, "b"), (3, "c")]
    assert tape.after(3) == []
