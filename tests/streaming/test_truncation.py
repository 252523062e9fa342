"""A log that ends below what was read of it is noticed, once it has had time to come back."""

from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.truncation import PATIENCE_S, Truncation


class Look:
    """A ledger of one partition, and a clock that moves as the test says."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.ledger = Ledger(Generation("c1", "pets", "t1"))
        self.ledger.open_partition(0, 0)
        self._truncation = Truncation(lambda: self.now_s)

    def __call__(self, end: int, after_s: float = 0.0) -> dict[int, tuple[int, int]]:
        self.now_s += after_s
        return dict(self._truncation.look(self.ledger, {0: end, 7: 0}))


def test_a_log_is_cut_short_when_it_was_seen_so_for_long_enough() -> None:
    look = Look()
    look.ledger.record(0, Kind.TRAINED, [0, 1, 2, 9])
    assert look(10) == {}
    assert look(9) == {}
    assert look(9, PATIENCE_S - 1) == {}
    assert look(9, 1) == {0: (9, 10)}


def test_a_log_that_comes_back_was_only_late() -> None:
    look = Look()
    look.ledger.record(0, Kind.TRAINED, range(5))
    assert look(4) == {}
    assert look(5, PATIENCE_S) == {}
    assert look(4, 1) == {}
    assert look(4, PATIENCE_S - 1) == {}


def test_an_answer_that_was_seen_before_proves_nothing() -> None:
    look = Look()
    look.ledger.record(0, Kind.TRAINED, range(5))
    truncation, answer = Truncation(lambda: look.now_s), {0: 4}
    assert truncation.look(look.ledger, answer) == {}
    look.now_s += PATIENCE_S
    assert truncation.look(look.ledger, answer) == {}
    assert truncation.look(look.ledger, dict(answer)) != {}


def test_what_was_settled_without_being_read_may_lie_beyond_the_end() -> None:
    look = Look()
    look.ledger.record_range(0, Kind.EXCLUDED, 0, 100)
    look.ledger.record_range(0, Kind.LOST, 100, 120)
    assert look(10) == {}
    assert look(10, PATIENCE_S) == {}
    look.ledger.record(0, Kind.SKIPPED, [200])
    assert look(10) == {}
    assert look(10, PATIENCE_S) == {0: (10, 201)}


def test_records_that_came_after_the_cut_are_not_taken_for_the_old_ones() -> None:
    look = Look()
    look.ledger.record(0, Kind.TRAINED, range(950))
    assert look(900) == {}
    assert look(920, PATIENCE_S / 2) == {}
    assert look(940, PATIENCE_S / 2) == {0: (900, 950)}
