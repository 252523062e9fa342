"""Ledger, counters, breaker and letters agree, whatever is booked."""

import time
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streaming.book import Book, bad_records, batch_range_ids
from streaming.errors import AlreadySettled, TrainingStopped
from streaming.kafka.dead_letters import DeadLetters
from streaming.kafka.tails import Tail
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.metrics import Tally
from streaming.records.batch import Batch, Rejected
from streaming.records.breaker import FIRST, BadRecord
from streaming.records.original import Original, envelope
from streaming.settings import KafkaSettings

UNKNOWN_TIME = -1


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def book(tally: Tally) -> Book:
    """Open, with two partitions and without a dead-letter topic."""
    book = Book(DeadLetters(KafkaSettings(), "test"), 0.5, tally)
    book.open(new_ledger())
    return book


@pytest.fixture
def events() -> Iterator[list[EventDict]]:
    """What is logged at any level, whatever a test before this one has configured."""
    configured = structlog.get_config()
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield cast(list[EventDict], captured)
    structlog.configure(**configured)


def new_ledger() -> Ledger:
    ledger = Ledger(Generation("c1", "pets", "t1"))
    ledger.open_partition(0, 0)
    ledger.open_partition(1, 100)
    return ledger


def counters(tally: Tally) -> dict[str, float]:
    return {sample.name + sample.labels.get("reason", ""): sample.value for sample in tally.counters()}


def train(book: Book, partition: int, *offsets: int, time_ms: int = UNKNOWN_TIME) -> None:
    count = len(offsets)
    book.trained(np.full(count, partition), np.array(offsets, np.int64), np.full(count, time_ms))


def bad(*offsets: int, partition: int = 0, reason: str = "mask_size") -> list[BadRecord]:
    return [BadRecord(partition, offset, reason, "mask 3x3, image 4x4") for offset in offsets]


def test_a_closed_book_has_no_ledger(tally: Tally) -> None:
    assert not Book(DeadLetters(KafkaSettings(), "test"), 0.5, tally).is_open


def test_trained_records_are_settled_and_counted(book: Book, tally: Tally) -> None:
    book.trained(np.array([0, 1, 0]), np.array([1, 100, 0]), np.full(3, UNKNOWN_TIME))
    assert (book.ledger.position(0), book.ledger.position(1)) == (2, 101)
    assert book.ledger.counts()[Kind.TRAINED] == 3
    assert counters(tally) == {"records_trained_total": 3}
    assert book.newest_event_time_s is None


def test_a_record_is_never_booked_twice(book: Book) -> None:
    train(book, 0, 0, 1, 2)
    with pytest.raises(AlreadySettled):
        train(book, 0, 2, 3)
    with pytest.raises(AlreadySettled):
        book.held_out(0, [1])
    assert book.ledger.position(0) == 3


def test_freshness_is_the_age_of_what_was_trained(book: Book, tally: Tally) -> None:
    now_ms = int(time.time() * 1000)
    train(book, 0, 0, time_ms=now_ms - 5000)
    train(book, 0, 1, time_ms=now_ms - 9000)
    train(book, 0, 2)
    assert book.newest_event_time_s == pytest.approx(now_ms / 1000 - 5)
    assert tally.take_observations()["freshness_seconds"] == pytest.approx([5, 9], abs=1)


def test_an_event_time_in_the_far_future_is_not_believed(book: Book, tally: Tally) -> None:
    train(book, 0, 0, time_ms=int(time.time() * 1e6))
    assert book.newest_event_time_s is None
    assert tally.take_observations() == {}


def test_bad_records_without_a_letter_topic_are_settled_when_acknowledged(book: Book, tally: Tally) -> None:
    train(book, 0, 0)
    book.rejected([*bad(1, 3), *bad(102, partition=1, reason="no_image")], good=1)
    assert book.pending == 3
    assert book.ledger.counts()[Kind.DEAD_LETTERED] == 0
    book.acknowledge()
    assert book.pending == 0
    assert list(book.ledger.kind_intervals(0, Kind.DEAD_LETTERED)) == [(1, 2), (3, 4)]
    assert list(book.ledger.kind_intervals(1, Kind.DEAD_LETTERED)) == [(102, 103)]
    assert counters(tally) == {
        "records_trained_total": 1,
        "records_dead_lettered_totalmask_size": 2,
        "records_dead_lettered_totalno_image": 1,
    }


def test_tombstones_are_skipped_at_once_and_need_no_letter(book: Book, tally: Tally) -> None:
    book.rejected(bad(0, 1, reason="empty"), good=0)
    assert book.pending == 0
    assert list(book.ledger.kind_intervals(0, Kind.SKIPPED)) == [(0, 2)]
    assert counters(tally) == {"records_skipped_totalempty": 2}


def test_a_topic_of_tombstones_does_not_stop_the_training(book: Book) -> None:
    book.rejected(bad(*range(2 * FIRST), reason="empty"), good=0)
    assert book.ledger.position(0) == 2 * FIRST


def test_when_the_first_fifty_are_all_bad_nothing_is_settled(book: Book) -> None:
    book.rejected(bad(*range(FIRST - 1)), good=0)
    book.acknowledge()
    with pytest.raises(TrainingStopped, match="the first 50"):
        book.rejected(bad(FIRST), good=0)
    book.acknowledge()
    assert sum(book.ledger.counts().values()) == 0


def test_bad_records_that_waited_are_settled_at_the_end_of_a_round(book: Book) -> None:
    book.rejected(bad(0, 1), good=0)
    book.acknowledge()
    assert book.ledger.position(0) == 0
    book.release()
    book.acknowledge()
    assert book.ledger.position(0) == 2


@pytest.mark.parametrize("kind", [Kind.TRAINED, Kind.HELD_OUT])
def test_a_restored_training_has_proven_its_format(book: Book, kind: Kind) -> None:
    ledger = new_ledger()
    ledger.record(0, kind, [0])
    book.open(ledger)
    book.rejected(bad(*range(1, FIRST + 1)), good=0)
    book.acknowledge()
    assert book.ledger.position(0) == FIRST + 1


def test_a_letter_topic_settles_nothing_before_the_letter_is_durable(tally: Tally) -> None:
    book = Book(DeadLetters(KafkaSettings(dead_letter_topic="letters"), "test"), 0.5, tally)
    book.open(new_ledger())
    book.rejected(bad(0), good=1)
    book.acknowledge()
    assert book.pending == 1
    assert book.ledger.position(0) == 0


def test_held_out_and_absent_records_are_settled(book: Book, tally: Tally) -> None:
    book.held_out(0, [0, 1])
    book.absent(0, np.array([2, 4]))
    book.absent_tail(Tail(0, 3, 8))
    assert book.ledger.position(0) == 8
    assert book.ledger.counts()[Kind.HELD_OUT] == 2
    assert book.ledger.counts()[Kind.ABSENT] == 6
    assert counters(tally) == {"records_held_out_total": 2}


def test_what_retention_removed_is_lost_once_and_told(book: Book, tally: Tally, events: list[EventDict]) -> None:
    train(book, 0, 0, 1, 4)
    book.lost_before(0, 6)
    book.lost_before(0, 6)
    assert list(book.ledger.kind_intervals(0, Kind.LOST)) == [(2, 4), (5, 6)]
    assert book.ledger.count(0, Kind.LOST) == 3
    assert counters(tally)["records_lost_total"] == 3
    assert [(event["event"], event["records"]) for event in events] == [("records_lost", 3)]


def test_bad_records_are_logged_in_one_line_a_partition(book: Book, events: list[EventDict]) -> None:
    book.rejected([*bad(5, 3), *bad(101, partition=1)], good=1)
    book.acknowledge()
    told = [event for event in events if event["event"] == "records_dead_lettered"]
    assert [(event["partition"], event["offsets"]) for event in told] == [(0, [3, 5]), (1, [101])]


def test_a_new_reason_is_announced_once_and_one_of_the_ledger_never(book: Book, events: list[EventDict]) -> None:
    book.rejected([*bad(3), *bad(4), *bad(5, reason="Too dark")], good=10)
    book.quarantine(bad(101, partition=1, reason="crash")[0])
    announced = [event for event in events if event["event"] == "new_dead_letter_reason"]
    assert [(event["reason"], event["partition"], event["offset"], event["detail"]) for event in announced] == [
        ("mask_size", 0, 3, "mask 3x3, image 4x4"),
        ("too_dark", 0, 5, "Too dark: mask 3x3, image 4x4"),
        ("crash", 1, 101, "mask 3x3, image 4x4"),
    ]
    book.acknowledge()
    events.clear()
    book.open(book.ledger)
    book.rejected(bad(6), good=10)
    assert events == []


def test_inventive_reasons_do_not_become_ever_more_labels(book: Book, tally: Tally) -> None:
    book.rejected([one for n in range(200) for one in bad(n, reason=f"at {n} o'clock")], good=1000)
    book.acknowledge()
    assert len(counters(tally)) == 65
    assert counters(tally)["records_dead_lettered_totalother"] == 200 - 64


def test_the_rejected_rows_of_a_batch_are_values() -> None:
    sealed = envelope(b"value", None, [("camera", b"7")])
    texts = [b"mask_size", "mask 3\u00d73".encode(), b"value", b"", sealed]
    numbers = [np.array([number]) for number in (1, 7, 4, 1_700_000_000_000)]
    rejected = Rejected(*numbers, *(np.array([text], object) for text in texts))
    original = Original(b"value", None, [("camera", b"7")], 1_700_000_000_000)
    assert bad_records(rejected) == [BadRecord(1, 7, "mask_size", "mask 3\u00d73", original)]
    unknown = rejected._replace(envelope=np.array([b""], object))
    assert bad_records(unknown) == [BadRecord(1, 7, "mask_size", "mask 3\u00d73")]
    batch = Batch(*[np.array([9, 9])] * 6, rejected)
    assert batch_range_ids(batch).tolist() == [9, 9, 4]


def test_a_hole_that_a_proof_has_booked_may_be_found_again(book: Book) -> None:
    book.absent_tail(Tail(0, 3, 5))
    book.absent(0, np.array([2, 3, 4, 6], np.int64))
    assert list(book.ledger.kind_intervals(0, Kind.ABSENT)) == [(2, 5), (6, 7)]
