"""The warning before retention removes what isn't trained yet."""

import math

import pytest

from service.lag import Lag
from service.retention import RetentionGuard, duration
from service.worker_view import Durable, WorkerView
from streaming.control.messages import PartitionStatus, Problem
from streaming.kafka.headroom import Headroom
from tests.service.conftest import FakeWatermarks, Sidecar, SidecarFactory, eventually

HOUR = 3600.0
FAR, NEAR = Headroom(20 * HOUR, 0.8), Headroom(4 * HOUR, 0.19)


class Stopped:
    """A service without a worker: two partitions at offset 50 by the newest checkpoint, both logs end at 100."""

    def __init__(self) -> None:
        self.view, self.lag, self.broker = WorkerView(60), Lag(), FakeWatermarks()
        partitions = [
            PartitionStatus(topic="t", partition=p, origin=0, position=50, fetched=50, trained=50, checkpointed=50)
            for p in (0, 1)
        ]
        self.view.durable = Durable("e000001-s000000001", 7, 0.0, 0, {}, partitions, "id")
        self.guard = RetentionGuard(self.view, self.lag, self.broker)
        self.lag.observe({0: 100, 1: 100}, now=0.0)

    def warning(self, left: dict[int, Headroom]) -> Problem | None:
        self.broker.left = left
        self.guard.tick()
        return self.view.expiry


def test_without_a_worker_the_newest_checkpoints_positions_are_asked_about() -> None:
    stopped = Stopped()
    assert stopped.warning({0: FAR, 1: FAR}) is None
    assert stopped.broker.positions == {0: 50, 1: 50}


def test_less_than_a_fifth_of_the_retention_is_a_problem_until_it_is_over() -> None:
    stopped = Stopped()
    warning = stopped.warning({0: FAR, 1: NEAR})
    assert warning is not None
    assert warning.type == "retention-near"
    assert "in 4.0 h: partition 1 from offset 50" in warning.detail
    assert warning in stopped.view.problems
    assert stopped.view.degraded is None

    worse = stopped.warning({0: NEAR, 1: Headroom(50.0, 0.01)})
    assert worse is not None
    assert "in 50 s: partition 1" in worse.detail
    assert "1 more partitions" in worse.detail
    assert worse.since == warning.since
    assert [each.facts["partitions"] for each in (warning, worse)] == [[1], [0, 1]]
    assert stopped.warning({0: FAR, 1: FAR}) is None
    assert stopped.view.problems == []


def test_where_nothing_is_left_to_train_nothing_is_near() -> None:
    stopped = Stopped()
    stopped.lag.observe({0: 50, 1: 50}, now=1.0)
    assert stopped.warning({0: NEAR, 1: NEAR}) is None
    headroom = stopped.lag.of(stopped.view.partitions[0], now=1.0).headroom
    assert headroom is not None
    assert headroom.seconds == math.inf


def test_an_unknown_headroom_alarms_nobody_and_takes_nothing_back() -> None:
    stopped = Stopped()
    assert stopped.warning({}) is None
    assert stopped.lag.of(stopped.view.partitions[0], now=1.0).headroom is None
    before = stopped.warning({0: NEAR})
    assert before is not None
    assert stopped.warning({}) == before


def test_a_guard_that_has_died_says_so_and_what_it_knew_is_no_more() -> None:
    stopped = Stopped()
    assert stopped.warning({0: NEAR}) is not None
    stopped.broker.dead = "the thread has died"
    warning = stopped.warning({0: NEAR})
    assert warning is not None
    assert (warning.type, warning.detail) == ("retention-unwatched", "the thread has died")
    assert stopped.lag.of(stopped.view.partitions[0], now=1.0).headroom is None
    assert stopped.warning({0: NEAR}) == warning


def test_positions_of_another_topic_say_nothing_about_this_one() -> None:
    stopped = Stopped()
    assert stopped.warning({0: NEAR}) is not None
    stopped.view.fail(Problem(type="topic-recreated", detail="", since=0.0))
    assert stopped.warning({0: NEAR}) is None
    assert stopped.broker.positions == {}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h"), (604_800.0, "7.0 days")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_status_and_metrics_tell_the_headroom_also_while_paused(sidecar: SidecarFactory) -> None:
    service = sidecar("well")
    service.reach("training")
    service.http.post("/v1/pause")
    service.reach("paused")
    service.watermarks.ends = {0: 10**9}
    assert headroom(service) is None
    eventually(lambda: scraped(service) == "NaN")

    service.watermarks.left = {0: Headroom(1234.5678, 0.1)}
    assert eventually(lambda: headroom(service)) == 1234.568
    (problem,) = eventually(lambda: service.status()["problems"])
    assert (problem["type"], service.status()["degraded"]) == ("retention-near", None)
    assert problem["remedies"]
    eventually(lambda: scraped(service) == "1234.5678")

    service.watermarks.left = {0: Headroom(math.inf, 1.0)}
    eventually(lambda: headroom(service) is None)
    eventually(lambda: not service.status()["problems"])
    eventually(lambda: scraped(service) == "+Inf")


def scraped(service: Sidecar) -> str:
    """The exposition is up to a second old."""
    name = 'penstock_retention_headroom_seconds{partition="0",topic="pets"} '
    lines = service.http.get("/metrics").text.splitlines()
    return next((line.removeprefix(name) for line in lines if line.startswith(name)), "")


def headroom(service: Sidecar) -> float | None:
    found: float | None = service.status()["partitions"][0]["retention_headroom_seconds"]
    return found
