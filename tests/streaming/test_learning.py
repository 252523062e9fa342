"""A batch becomes a step and an entry in the book, or is taken apart until the guilty records are found."""

import numpy as np
import pytest
import tensorflow as tf

from streaming.book import Book
from streaming.control.messages import Pictures
from streaming.crash_slot import unnoted
from streaming.errors import TrainingStopped
from streaming.kafka.dead_letters import DeadLetters
from streaming.learning import Learning
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.metrics import Tally
from streaming.records.batch import Batch, Encoded, Rejected
from streaming.records.decode import Decoder, Limits
from streaming.round import Held
from streaming.scoring import Scoring
from streaming.settings import Settings, parse_settings
from streaming.showing import EVERY_S, Showing
from streaming.training.evaluation import EvaluationSet
from streaming.training.trainer import Trainer, build_model
from tests.streaming.chain import no_fallback
from tests.streaming.user_code import POISON, parse

pytestmark = pytest.mark.tf
SIZE, BATCH = 8, 8
EVERY, INTERVAL_S = 3, 60.0


class Bench:
    """Learning over a tiny model, with a clock of its own."""

    def __init__(self) -> None:
        settings = self.settings()
        self.now_s = 0.0
        self.tally = Tally()
        self.trainer = Trainer(build_model(settings), settings)
        decoder = Decoder(Limits(SIZE, 3, 1000, 10_000, labels=False), parse, no_fallback)
        self.scoring = Scoring(self.trainer, decoder, unnoted, settings.evaluation, BATCH, lambda: self.now_s)
        self.book = Book(DeadLetters(settings.kafka, "test"), 0.9, self.tally)
        ledger = Ledger(Generation("c1", "pets", "t1"))
        ledger.open_partition(0, 0)
        self.book.open(ledger)
        self.shown: list[Pictures] = []
        showing = Showing(self.shown.append, settings.model.classes, lambda: self.now_s)
        self.learning = Learning(self.trainer, self.scoring, showing, self.book, self.tally, BATCH)
        self.next_offset = 0

    @staticmethod
    def settings() -> Settings:
        return parse_settings(
            {
                "pipeline": {"image_size": SIZE, "batch_size": BATCH},
                "model": {"build": "tests.streaming.user_code:masks"},
                "evaluation": {"every_batches": EVERY, "interval_s": INTERVAL_S, "size": 20},
            }
        )

    def train(self, *levels: int, rejected: int = 0) -> None:
        """A batch of pictures of these levels, and as many records that have left it."""
        images = np.stack([np.full((SIZE, SIZE, 3), level, np.uint8) for level in levels])
        masks = np.stack([np.full((SIZE, SIZE), level % 3, np.uint8) for level in levels])
        offset = np.arange(self.next_offset, self.next_offset + len(levels) + rejected)
        self.next_offset += len(offset)
        kept, left = offset[: len(levels)], offset[len(levels) :]
        text = np.array([b"mask_size"] * rejected, object)
        unknown = np.full_like(text, b"")
        bad = Rejected(np.zeros_like(left), left, np.zeros_like(left), left, text, text, unknown, unknown, unknown)
        zeros = np.zeros_like(kept)
        self.learning.train(Batch(tf.constant(images), tf.constant(masks), zeros, kept, zeros, zeros - 1, bad))
        self.book.acknowledge()

    def train_for_ever(self, *levels: int) -> None:
        for _ in range(40):
            self.train(*levels)

    def settled(self, kind: Kind) -> list[tuple[int, int]]:
        return list(self.book.ledger.kind_intervals(0, kind))

    def counters(self) -> dict[str, float]:
        return {sample.name + sample.labels.get("reason", ""): sample.value for sample in self.tally.counters()}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_batch_is_one_step_and_all_its_records_are_settled(bench: Bench) -> None:
    assert not bench.learning.warm
    bench.train(*range(0, 80, 10), rejected=2)
    assert bench.learning.warm
    assert bench.learning.step == 1
    assert bench.learning.loss is not None
    assert bench.settled(Kind.TRAINED) == [(0, 8)]
    assert bench.settled(Kind.DEAD_LETTERED) == [(8, 10)]
    assert bench.tally.take_observations()["batch_fill_ratio"] == [1.0]


def test_a_poisoned_record_is_dead_lettered_and_its_neighbours_are_trained(bench: Bench) -> None:
    bench.train(10, 20)
    bench.train(10, 20, POISON, 30)
    assert bench.settled(Kind.TRAINED) == [(0, 4), (5, 6)]
    assert bench.settled(Kind.DEAD_LETTERED) == [(4, 5)]
    assert bench.counters()["records_dead_lettered_totalnon_finite"] == 1
    assert bench.learning.step == 1 + 3
    assert all(np.isfinite(values).all() for values in bench.trainer.state().values())


def test_a_model_that_fails_on_every_record_stops_before_the_topic_is_burnt_through(bench: Bench) -> None:
    bench.train(10)
    with pytest.raises(TrainingStopped, match="non_finite"):
        bench.train_for_ever(*[POISON] * BATCH)
    assert bench.book.ledger.position(0) <= 1 + 200


def test_every_nth_batch_is_scored_before_it_is_trained(bench: Bench) -> None:
    scored = []
    for _ in range(2 * EVERY + 1):
        bench.train(10, 100, 200)
        scored.append(bench.scoring.state()["prequential"]["weight"])
    changes = [
        number for number, (before, after) in enumerate(zip([0.0, *scored], scored, strict=False)) if after != before
    ]
    assert changes == [0, EVERY, 2 * EVERY]


def test_a_poisoned_batch_does_not_spoil_the_score(bench: Bench) -> None:
    bench.train(10, POISON)
    bench.train(10, 20)
    assert all(np.isfinite(score.value) for score in bench.scoring.scores())


def held(*levels: bytes, first: int = 100) -> Held:
    offsets = np.arange(first, first + len(levels))
    empty = np.array([b""] * len(levels), object)
    return Held(0, Encoded(offsets, np.array(levels, object), empty, np.full_like(offsets, -1), empty))


def test_held_out_records_are_booked_kept_and_never_trained(bench: Bench) -> None:
    bench.train(10)
    before = bench.trainer.state()
    bench.learning.hold_out(held(b"\x01", b"bad", b"\x05"))
    bench.book.acknowledge()
    assert bench.settled(Kind.HELD_OUT) == [(100, 101), (102, 103)]
    assert bench.settled(Kind.DEAD_LETTERED) == [(101, 102)]
    images, masks = bench.scoring.set.arrays()
    assert images[:, 0, 0, 0].tolist() == [1, 5]
    assert masks[:, 0, 0].tolist() == [1, 2]
    assert all((bench.trainer.state()[name] == values).all() for name, values in before.items())


def test_the_hold_out_set_is_scored_at_intervals_when_there_are_new_weights(bench: Bench) -> None:
    bench.now_s += INTERVAL_S
    assert not bench.scoring.due(step=1)
    bench.learning.hold_out(held(*[bytes([level]) for level in range(12)]))
    assert not bench.scoring.due(step=0)
    assert bench.scoring.due(step=1)
    bench.scoring.evaluate(step=1)
    assert not bench.scoring.due(step=2)
    bench.now_s += INTERVAL_S
    assert not bench.scoring.due(step=1)
    assert bench.scoring.due(step=2)


def test_the_hold_out_score_is_that_of_the_whole_set(bench: Bench) -> None:
    bench.learning.hold_out(held(*[bytes([level]) for level in range(12)]))
    bench.scoring.evaluate(step=1)
    whole = bench.trainer.score(*bench.scoring.set.arrays())
    scores = {score.name: score.value for score in bench.scoring.scores() if score.set == "1"}
    assert scores["loss"] == pytest.approx(whole.loss, rel=1e-5)
    bench.learning.hold_out(held(b"\xc8", first=200))
    bench.scoring.evaluate(step=2)
    grown = {score.name: score.value for score in bench.scoring.scores() if score.set == "1"}
    assert grown["loss"] == pytest.approx(bench.trainer.score(*bench.scoring.set.arrays()).loss, rel=1e-5)


def test_scoring_goes_on_where_it_was(bench: Bench) -> None:
    bench.train(10, 100)
    bench.learning.hold_out(held(b"\x01", b"\x02"))
    other = Bench()
    kept = EvaluationSet.load(1, 20, bench.scoring.set.dump())
    other.scoring.restore(bench.scoring.state(), kept)
    assert other.scoring.state() == bench.scoring.state()
    assert other.scoring.prequential.scores() == bench.scoring.prequential.scores()
    assert len(other.scoring.set) == 2


def test_what_was_scored_is_shown_every_few_seconds(bench: Bench) -> None:
    for _ in range(3 * EVERY):
        bench.train(*range(BATCH))
    (shown,) = bench.shown
    assert (shown.step, [each.offset for each in shown.pictures]) == (0, [0, 1, 2, 3])
    bench.now_s += EVERY_S
    for _ in range(EVERY):
        bench.train(*range(BATCH))
    assert [each.step for each in bench.shown] == [0, 3 * EVERY]
