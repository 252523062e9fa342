"""Counters only grow; observations are handed out once, and not without bound."""

from streaming.control.messages import Sample
from streaming.metrics import MOST_OBSERVATIONS, Tally


def test_counters_add_up_by_name_and_reason() -> None:
    tally = Tally()
    tally.add("steps_total")
    tally.add("steps_total", 2)
    tally.add("records_dead_lettered_total", reason="mask_size")
    tally.add("records_dead_lettered_total", reason="no_image")
    tally.add("records_dead_lettered_total", reason="mask_size")
    assert tally.counters() == [
        Sample(name="steps_total", value=3),
        Sample(name="records_dead_lettered_total", labels={"reason": "mask_size"}, value=2),
        Sample(name="records_dead_lettered_total", labels={"reason": "no_image"}, value=1),
    ]
    assert tally.counters() == tally.counters()


def test_each_observation_is_handed_out_once() -> None:
    tally = Tally()
    tally.observe("freshness_seconds", 1.0, 2.0)
    tally.observe("freshness_seconds", 3.0)
    tally.observe("step_duration_seconds")
    assert tally.take_observations() == {"freshness_seconds": [1.0, 2.0, 3.0]}
    assert tally.take_observations() == {}


def test_observations_that_nobody_takes_are_bounded() -> None:
    tally = Tally()
    for number in range(3 * MOST_OBSERVATIONS):
        tally.observe("freshness_seconds", number)
    taken = tally.take_observations()["freshness_seconds"]
    assert taken == list(range(2 * MOST_OBSERVATIONS, 3 * MOST_OBSERVATIONS))
