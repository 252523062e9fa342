"""The arithmetic of retention."""

import math

import pytest

from streaming.kafka.headroom import OVERTAKEN, UNLIMITED, Backlog, Growth, Headroom, Limits, headroom

HOUR = 3600.0
NOW = 1.8e9
BY_TIME = Limits(10 * HOUR, None)


def aged(age_s: float, size_bytes: float | None = None, growth: float | None = None) -> Backlog:
    return Backlog(NOW - age_s, size_bytes, growth)


@pytest.mark.parametrize(
    ("limits", "backlog", "found"),
    [
        (Limits(None, None), Backlog(None, None, None), UNLIMITED),
        (BY_TIME, aged(2 * HOUR), Headroom(8 * HOUR, 0.8)),
        (BY_TIME, aged(-5 * HOUR), Headroom(10 * HOUR, 1.0)),  # a producer's clock is ahead, or ours is behind
        (BY_TIME, aged(11 * HOUR), OVERTAKEN),
        (BY_TIME, Backlog(None, None, None), None),  # a record without a timestamp
        (BY_TIME, Backlog(math.inf, None, None), Headroom(10 * HOUR, 1.0)),  # nothing but markers
        (BY_TIME, Backlog(-math.inf, None, None), OVERTAKEN),
        (Limits(0.0, None), aged(0), OVERTAKEN),
        (Limits(None, 1000), aged(10, size_bytes=250), Headroom(30.0, 0.75)),  # it grew by 25 bytes a second
        (Limits(None, 1000), aged(10, size_bytes=250, growth=75.0), Headroom(10.0, 0.75)),  # by 75 lately
        (Limits(None, 1000), aged(0, size_bytes=250, growth=0.0), Headroom(math.inf, 0.75)),
        (Limits(None, 1000), aged(10, size_bytes=1000), OVERTAKEN),
        (Limits(None, 1000), aged(10), None),  # the broker doesn't tell the size
        (Limits(100.0, 1000), aged(10, size_bytes=900), Headroom(10 / 9, 0.1)),  # the nearest counts
        (Limits(100.0, 1000), aged(90, size_bytes=9), Headroom(10.0, 0.1)),
        (Limits(100.0, 1000), aged(90), Headroom(10.0, 0.1)),  # of two limits one is known
    ],
)
def test_the_nearest_limit_that_is_known_counts(limits: Limits, backlog: Backlog, found: Headroom | None) -> None:
    assert headroom(limits, backlog, NOW) == (found if found is None else pytest.approx(found))


def test_growth_is_that_of_the_last_ten_minutes() -> None:
    growth = Growth()
    assert growth.observe(1000, now=0.0) is None
    assert growth.observe(1500, now=10.0) == 50
    assert growth.observe(1500, now=605.0) == 0
    assert growth.observe(1400, now=610.0) == 0  # the log was cut
