"""The retention table."""

import pytest

from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.retention import DAY_S, HOUR_S, CheckpointInfo, Integrity, retained

NOON_S = 20_000 * DAY_S + 12 * HOUR_S


def info(sequence: int, age_s: float, pinned: bool = False, integrity: Integrity = "unverified") -> CheckpointInfo:
    return CheckpointInfo(checkpoint_id(1, sequence), None, 0, NOON_S - age_s, 1, None, pinned, "periodic", integrity)


def kept(infos: list[CheckpointInfo], keep: int, hourly: int = 0, daily: int = 0) -> list[int]:
    return sorted(int(id.split("-s")[1]) for id in retained(infos, keep, hourly, daily))


EVERY_20_MINUTES = [info(sequence, age_s=(60 - sequence) * 1200) for sequence in range(61)]  # 16:00 to 12:00


@pytest.mark.parametrize(
    ("keep", "hourly", "daily", "expected"),
    [
        (3, 0, 0, [58, 59, 60]),
        (0, 0, 0, [60]),
        (1, 1, 0, [60]),
        (1, 3, 0, [56, 59, 60]),
        (2, 4, 0, [53, 56, 59, 60]),
        (1, 0, 1, [60]),
        (1, 0, 2, [23, 60]),
        (1, 0, 14, [23, 60]),
        (2, 2, 2, [23, 59, 60]),
        (99, 0, 0, list(range(61))),
    ],
)
def test_the_last_ones_and_the_newest_of_each_hour_and_day_are_kept(
    keep: int, hourly: int, daily: int, expected: list[int]
) -> None:
    assert kept(EVERY_20_MINUTES, keep, hourly, daily) == expected


def test_hours_without_a_checkpoint_are_not_counted() -> None:
    infos = [info(1, 90 * DAY_S), info(2, 50 * HOUR_S), info(3, 0)]
    assert kept(infos, keep=1, hourly=2) == [2, 3]
    assert kept(infos, keep=1, hourly=3) == [1, 2, 3]


def test_pinned_ones_are_kept_for_ever_and_take_no_place() -> None:
    infos = [info(1, 400 * DAY_S, pinned=True), *(info(sequence, 0) for sequence in range(2, 6))]
    assert kept(infos, keep=2) == [1, 4, 5]


def test_damaged_ones_are_kept_and_take_no_place_of_a_sound_one() -> None:
    infos = [info(sequence, 0) for sequence in range(1, 4)] + [info(s, 0, integrity="damaged") for s in range(4, 9)]
    assert kept(infos, keep=2) == [2, 3, 4, 5, 6, 7, 8]


def test_newest_is_the_greatest_id_whatever_the_clock_said() -> None:
    infos = [info(1, age_s=-9 * DAY_S), info(2, age_s=0), info(3, age_s=60)]
    assert kept(infos, keep=1) == [3]
    assert kept(infos, keep=1, daily=1) == [1, 3]


def test_nothing_is_kept_of_nothing() -> None:
    assert retained([], 5, 24, 14) == set()
