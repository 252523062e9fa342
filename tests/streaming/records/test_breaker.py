"""A wrong format or setting stops the worker before it burns through a topic."""

import json
import random

import pytest

from streaming.errors import TrainingStopped
from streaming.records.breaker import FIRST, WINDOW, BadRecord, Breaker


def bad(count: int, first: int = 0, reason: str = "not_an_example") -> list[BadRecord]:
    return [BadRecord(2, offset, reason, "24 bytes") for offset in range(first, first + count)]


def test_bad_records_among_good_ones_pass() -> None:
    breaker = Breaker(0.5, proven=False)
    for first in range(0, 1000, 10):
        assert breaker.admit(5, bad(5, first)) == bad(5, first)


def test_bad_records_wait_for_the_first_good_one_over_batches() -> None:
    breaker = Breaker(0.5, proven=False)
    assert breaker.admit(0, bad(20)) == []
    assert breaker.admit(0, bad(FIRST - 21, 20)) == []
    assert breaker.admit(1, bad(1, FIRST - 1)) == bad(FIRST)
    assert breaker.release() == []


def test_the_first_fifty_all_bad_stop_with_nothing_settled() -> None:
    breaker = Breaker(0.5, proven=False)
    assert breaker.admit(0, bad(FIRST - 1)) == []
    with pytest.raises(
        TrainingStopped, match=r"the first 50 .*not_an_example 49, no_image 1 \(.*partition 2, offset 0"
    ):
        breaker.admit(0, bad(1, FIRST, "no_image"))
    with pytest.raises(TrainingStopped) as stopped:
        Breaker(1.0, proven=False).admit(0, bad(FIRST))
    assert stopped.value.problem == "records-all-bad"


def test_what_waited_at_the_end_of_a_round_is_handed_out_once_and_counts_when_it_is_read_again() -> None:
    breaker = Breaker(0.5, proven=False)
    for _ in range(9):  # were they counted each time, the first good record would stop the training
        assert breaker.admit(0, bad(FIRST - 1)) == []
        assert breaker.release() == bad(FIRST - 1)
        assert breaker.release() == []
    assert breaker.admit(60, bad(FIRST - 1)) == bad(FIRST - 1)


def test_a_batch_larger_than_the_window_is_judged_as_a_whole() -> None:
    breaker = Breaker(0.5, proven=True)
    assert breaker.admit(412, bad(101)) == bad(101)
    with pytest.raises(TrainingStopped):
        breaker.admit(200, bad(300))


def test_a_training_that_has_seen_good_records_may_begin_with_fifty_bad_ones() -> None:
    assert Breaker(0.5, proven=True).admit(0, bad(FIRST)) == bad(FIRST)


def test_more_than_the_fraction_of_the_last_200_stop() -> None:
    breaker = Breaker(0.25, proven=False)
    breaker.admit(1000, [])
    assert breaker.admit(0, bad(WINDOW // 4)) == bad(WINDOW // 4)
    with pytest.raises(
        TrainingStopped, match=r"51 of the last 200 .*max_bad_fraction 0\.25.*not_an_example 1"
    ) as stopped:
        breaker.admit(0, bad(1, 50))
    assert stopped.value.problem == "records-mostly-bad"


def test_the_fraction_is_not_judged_before_there_are_200() -> None:
    breaker = Breaker(0.25, proven=False)
    assert breaker.admit(1, bad(WINDOW - 2)) == bad(WINDOW - 2)
    with pytest.raises(TrainingStopped):
        breaker.admit(1, bad(1))


def test_a_batch_of_good_records_alone_never_stops() -> None:
    breaker = Breaker(0.25, proven=False)
    breaker.admit(1, bad(WINDOW - 2))
    for _ in range(WINDOW // 2):
        assert breaker.admit(1, []) == []
    with pytest.raises(TrainingStopped):
        breaker.admit(0, bad(1))


def test_a_restart_forgets_nothing() -> None:
    before = Breaker(0.25, proven=False)
    before.admit(1000, [])
    before.admit(0, bad(WINDOW // 4))
    state = json.loads(json.dumps(before.state()))
    after = Breaker(0.25, proven=False, state=state)
    assert after.state() == before.state()
    with pytest.raises(TrainingStopped, match="51 of the last 200"):
        after.admit(0, bad(1))


def test_a_restart_brings_the_same_answers_batch_by_batch() -> None:
    rng = random.Random(0)
    whole = Breaker(0.6, proven=False)
    restarted = Breaker(0.6, proven=False)
    for first in range(0, 3000, 30):
        good, refused = rng.randrange(1, 30), bad(rng.randrange(15), first)
        assert restarted.admit(good, refused) == whole.admit(good, refused)
        restarted = Breaker(0.6, proven=False, state=restarted.state())
    assert restarted.state() == whole.state()


def test_what_was_held_back_is_not_remembered_and_counts_when_it_is_read_again() -> None:
    before = Breaker(0.5, proven=False)
    before.admit(0, bad(FIRST - 1))
    assert before.state() == Breaker(0.5, proven=False).state()
    assert Breaker(0.5, proven=False, state=before.state()).admit(0, bad(FIRST - 1)) == []


def test_a_format_that_was_proven_stays_proven() -> None:
    before = Breaker(0.5, proven=False)
    before.admit(1, [])
    assert Breaker(0.5, proven=False, state=before.state()).admit(0, bad(FIRST)) == bad(FIRST)


def test_a_fraction_of_one_never_stops_a_proven_training() -> None:
    assert len(Breaker(1.0, proven=True).admit(0, bad(1000))) == 1000
