"""When an open transaction is told: only when one offset has stood still for long, with something behind it."""

from streaming.kafka.held_back import HeldBack


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stable_offset_that_stands_still_below_the_high_watermark_is_told_until_it_moves() -> None:
    clock = Clock()
    held = HeldBack(clock, patience_s=60)
    assert held.look({0: 40, 1: 7}, {0: 50, 1: 7}) is None
    clock.now += 59
    assert held.look({0: 40, 1: 7}, {0: 90, 1: 7}) is None
    clock.now += 2
    sentence = "partition 0: a transaction has been open at offset 40 for 61 s, 70 offsets wait for its end"
    assert held.look({0: 40, 1: 7}, {0: 110, 1: 7}) == (sentence, [0])
    assert held.look({0: 110, 1: 7}, {0: 110, 1: 7}) is None


def test_short_transactions_one_after_the_other_are_not_told() -> None:
    clock = Clock()
    held = HeldBack(clock, patience_s=60)
    for end in range(0, 1000, 10):
        assert held.look({0: end}, {0: end + 5}) is None
        clock.now += 30


def test_a_log_that_was_level_for_a_moment_begins_to_wait_anew() -> None:
    clock = Clock()
    held = HeldBack(clock, patience_s=60)
    held.look({0: 40}, {0: 50})
    clock.now += 50
    held.look({0: 40}, {0: 40})
    held.look({0: 40}, {0: 50})
    clock.now += 50
    assert held.look({0: 40}, {0: 50}) is None


def test_the_longest_is_named_and_the_others_are_counted() -> None:
    clock = Clock()
    held = HeldBack(clock, patience_s=60)
    held.look({1: 5}, {1: 6})
    clock.now += 1
    held.look({0: 3, 1: 5}, {0: 4, 1: 6})
    clock.now += 60
    found = held.look({0: 3, 1: 5, 2: 9}, {0: 4, 1: 6})
    assert found is not None
    assert found.sentence.startswith("partition 1: ")
    assert found.sentence.endswith("; so it is in 1 more partitions")
    assert found.partitions == [0, 1]
