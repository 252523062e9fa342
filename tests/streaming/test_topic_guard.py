"""What the broker says of the topic is held against the ledger, and a difference that matters stops the training."""

from collections.abc import Callable

import pytest

from streaming.book import Book
from streaming.control.decisions import AcceptLoss, Decision
from streaming.decided import ANY_CLUSTER, Decided
from streaming.errors import TrainingStopped
from streaming.kafka.broker import TopicFacts
from streaming.kafka.dead_letters import DeadLetters
from streaming.kafka.watch import View
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.metrics import Tally
from streaming.settings import KafkaSettings
from streaming.topic_guard import TopicGuard

TRAINED = Generation("c1", "pets", "t1")


def view(generation: Generation = TRAINED, starts: dict[int, int] | None = None) -> View:
    starts = starts or {0: 0, 1: 0}
    return View(TopicFacts(generation, tuple(starts)), log_starts=starts, high_watermarks=dict.fromkeys(starts, 1000))


def guarded(*decisions: Decision, stop_on_loss: bool = False, trained: Generation = TRAINED) -> tuple[Book, TopicGuard]:
    book = Book(DeadLetters(KafkaSettings(), "test"), 0.5, Tally())
    ledger = Ledger(trained)
    ledger.open_partition(0, 0)
    book.open(ledger)
    return book, TopicGuard(book, Decided(decisions), stop_on_loss=stop_on_loss)


def stopped(look: Callable[[View], None], seen: View) -> TrainingStopped:
    with pytest.raises(TrainingStopped) as caught:
        look(seen)
    return caught.value


def test_before_the_broker_has_answered_nothing_is_known() -> None:
    guarded()[1].look(View(error="connection refused"))


def test_a_new_partition_is_owed_from_its_beginning() -> None:
    book, guard = guarded()
    guard.take_stock(view())
    assert book.ledger.partitions() == [0, 1]
    assert book.ledger.origin(1) == 0


def test_a_topic_with_another_id_or_name_stops_the_training() -> None:
    _, guard = guarded()
    recreated = stopped(guard.look, view(Generation("c1", "pets", "t2")))
    assert (recreated.problem, recreated.facts) == ("topic-recreated", {"topic_id": "t2"})
    assert stopped(guard.look, view(Generation("c9", "pets", "t1"))).problem == "topic-recreated"
    assert stopped(guard.look, view(Generation("c1", "cars", "t1"))).problem == "topic-changed"


def test_an_adopted_topic_gets_its_cluster_from_the_broker() -> None:
    book, guard = guarded(trained=TRAINED.__class__(ANY_CLUSTER, "pets", "t1"))
    guard.look(view())
    assert book.ledger.generation == TRAINED


def test_what_retention_removed_is_booked_as_lost() -> None:
    book, guard = guarded()
    guard.take_stock(view(starts={0: 30, 1: 4}))
    assert (book.ledger.position(0), book.ledger.position(1)) == (30, 4)
    assert book.ledger.counts()[Kind.LOST] == 34


def test_a_loss_stops_the_training_where_that_is_wanted_until_it_is_accepted() -> None:
    _, guard = guarded(stop_on_loss=True)
    lost = stopped(guard.take_stock, view(starts={0: 30}))
    assert (lost.problem, lost.facts) == ("data-lost", {"topic_id": "t1", "before": {"0": 30}})
    book, guard = guarded(AcceptLoss(at=0, topic_id="t1", before={0: 30}), stop_on_loss=True)
    guard.take_stock(view(starts={0: 30}))
    assert book.ledger.position(0) == 30
    assert stopped(guard.take_stock, view(starts={0: 31})).facts["before"] == {"0": 31}


def test_losses_of_several_partitions_take_one_answer() -> None:
    book, guard = guarded(AcceptLoss(at=0, topic_id="t1", before={0: 30}), stop_on_loss=True)
    lost = stopped(guard.take_stock, view(starts={0: 30, 1: 4, 2: 0, 3: 9}))
    assert lost.facts["before"] == {"1": 4, "3": 9}
    assert book.ledger.counts()[Kind.LOST] == 0
