"""Operators' decisions reach every ledger once, in their order, and nothing that isn't theirs."""

import pytest

from streaming.control.decisions import (
    AcceptLoss,
    AcceptTruncation,
    AdoptTopic,
    Decision,
    Exclude,
    Quarantine,
    ResetBreaker,
    Skip,
)
from streaming.decided import Decided, Effect, Owed, same_life
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.losses import Losses

THIS, OTHER, NEXT = "t1", "t0", "t2"


def new_ledger() -> Ledger:
    ledger = Ledger(Generation("c1", "pets", THIS))
    ledger.open_partition(0, 0)
    return ledger


def exclude(start: int, stop: int, topic_id: str = THIS, partition: int = 0) -> Exclude:
    return Exclude(at=0, topic_id=topic_id, partition=partition, start=start, stop=stop)


def taken_in(ledger: Ledger, *decisions: Decision, from_number: int = 0) -> tuple[Decided, list[Effect]]:
    """Every decision, as the worker takes them in that has restored `ledger`."""
    decided = Decided(decisions)
    decided.restore(from_number)
    effects = []
    while decided.waiting:
        effects.append(decided.take_in(ledger))
        ledger = effects[-1].ledger or ledger
    return decided, effects


def test_excluded_offsets_are_settled_and_trained_ones_stay_trained() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, [2])
    taken_in(ledger, exclude(1, 4), exclude(2, 3, topic_id=OTHER), exclude(5, 6, partition=3))
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(1, 2), (3, 4)]
    assert ledger.count(0, Kind.TRAINED) == 1
    assert list(ledger.kind_intervals(3, Kind.EXCLUDED)) == [(5, 6)]


def test_skipped_offsets_are_settled_and_trained_ones_stay_trained() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, [2])
    for topic_id in (THIS, OTHER):
        taken_in(ledger, Skip(at=0, topic_id=topic_id, offsets={0: [(1, 4), (7, 9)], 3: [(5, 6)], 4: []}))
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(1, 2), (3, 4), (7, 9)]
    assert ledger.count(0, Kind.TRAINED) == 1
    assert list(ledger.kind_intervals(3, Kind.EXCLUDED)) == [(5, 6)]


def test_looking_ahead_takes_everything_in_and_changes_nothing() -> None:
    ledger = new_ledger()
    found = Quarantine(at=0, topic_id=NEXT, partition=0, offset=4, detail="SIGSEGV")
    decided = Decided([exclude(0, 1), AdoptTopic(at=0, topic_id=NEXT), found, exclude(2, 3, NEXT)])
    ahead = decided.ahead(ledger)
    assert ahead.generation.topic_id == NEXT
    assert list(ahead.unsettled(0, 0, 5)) == [0, 1, 3, 4]
    assert (ledger, decided.taken) == (new_ledger(), 0)


def test_a_ledger_takes_in_only_what_it_has_not_taken_in_yet() -> None:
    ledger = new_ledger()
    decided, _ = taken_in(ledger, exclude(0, 1), exclude(1, 2), from_number=1)
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(1, 2)]
    assert decided.taken == 2
    decided.add(exclude(7, 8))
    assert decided.waiting


def test_decisions_that_have_gone_do_not_hide_the_next_ones() -> None:
    decided = Decided([exclude(0, 1)])
    decided.restore(5)
    decided.add(exclude(1, 2))
    assert decided.waiting


def test_after_a_truncation_the_offsets_from_the_end_on_are_owed_again() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, range(10))
    taken_in(ledger, AcceptTruncation(at=0, topic_id=THIS, ends={0: 6, 9: 0}))
    assert (ledger.position(0), ledger.highest(0)) == (6, 6)
    taken_in(ledger, AcceptTruncation(at=0, topic_id=OTHER, ends={0: 1}))
    assert ledger.position(0) == 6


def test_an_adopted_topic_begins_with_an_empty_ledger_and_later_decisions_are_about_it() -> None:
    ledger = new_ledger()
    ledger.record(0, Kind.TRAINED, range(10))
    _, effects = taken_in(ledger, AdoptTopic(at=0, topic_id=NEXT), exclude(0, 2, NEXT), exclude(0, 9, THIS))
    adopted = effects[0].ledger
    assert adopted is not None
    assert same_life(adopted.generation, Generation("any cluster", "pets", NEXT))
    assert list(adopted.kind_intervals(0, Kind.EXCLUDED)) == [(0, 2)]
    assert ledger.count(0, Kind.EXCLUDED) == 0
    assert taken_in(adopted, AdoptTopic(at=0, topic_id=NEXT))[1] == [Effect()]


def test_a_training_without_a_checkpoint_adopts_nothing() -> None:
    decided = Decided([exclude(0, 1, OTHER), AdoptTopic(at=0, topic_id=OTHER), exclude(3, 4)])
    decided.begin()
    ledger = new_ledger()
    assert decided.take_in(ledger) == Effect()
    assert not decided.waiting
    assert list(ledger.kind_intervals(0, Kind.EXCLUDED)) == [(3, 4)]


def test_a_quarantined_record_waits_until_it_is_dead_lettered() -> None:
    ledger = new_ledger()
    decided = Decided([Quarantine(at=0, topic_id=THIS, partition=0, offset=4, detail="SIGSEGV")])
    for _ in range(2):
        assert decided.take_in(ledger) == Effect(owed=Owed(0, 4, "SIGSEGV"))
        assert (decided.waiting, decided.taken) == (True, 0)
    ledger.record(0, Kind.DEAD_LETTERED, [4], "crashes_decoder")
    assert decided.take_in(ledger) == Effect()
    assert decided.taken == 1


def test_a_quarantined_record_that_was_cut_off_afterwards_holds_nothing_up() -> None:
    found = Quarantine(at=0, topic_id=THIS, partition=0, offset=950, detail="it crashes")
    cut = AcceptTruncation(at=0, topic_id=THIS, ends={0: 900})
    decided, effects = taken_in(new_ledger(), found, cut)
    assert [effect.owed for effect in effects] == [None, None]
    assert not decided.waiting


def test_a_quarantined_record_of_a_topic_that_was_replaced_afterwards_holds_nothing_up() -> None:
    found = Quarantine(at=0, topic_id=THIS, partition=0, offset=950, detail="it crashes")
    decided, effects = taken_in(new_ledger(), found, AdoptTopic(at=0, topic_id=NEXT))
    assert effects[0] == Effect()
    assert effects[1].ledger is not None
    assert not decided.waiting


def test_the_breaker_is_asked_to_count_anew() -> None:
    assert taken_in(new_ledger(), ResetBreaker(at=0))[1] == [Effect(breaker=True)]


@pytest.mark.parametrize("taken", [0, 3])
def test_accepted_losses_hold_whatever_checkpoint_was_restored(taken: int) -> None:
    ledger = new_ledger()
    ledger.open_partition(1, 0)
    ledger.record_range(0, Kind.LOST, 0, 50)
    ledger.record_range(1, Kind.LOST, 0, 8)
    decided = Decided([])
    losses = Losses(decided)
    assert losses.of(ledger) == (58, {0: 50, 1: 8})
    for before in ({0: 30}, {0: 40, 1: 8}, {0: 20}):
        decided.add(AcceptLoss(at=0, topic_id=THIS, before=before))
    decided.add(AcceptLoss(at=0, topic_id=OTHER, before={0: 50}))
    decided.restore(taken)
    assert decided.losses(THIS) == {0: 40, 1: 8}
    assert losses.of(ledger) == (10, {0: 50})
    ledger.record_range(1, Kind.LOST, 8, 9)
    assert losses.of(ledger) == (11, {0: 50, 1: 9})
