"""After a poisoned batch the model is the one that training without the poisoned records gives, bit by bit."""

import numpy as np
import pytest

from streaming.ledger.ledger import Kind
from streaming.settings import Settings, parse_settings
from tests.streaming.test_learning import BATCH, SIZE, Bench
from tests.streaming.user_code import POISON

pytestmark = pytest.mark.tf


class OwnStep(Bench):
    """A user's model with a train_step of its own, batch normalisation and Adam."""

    @staticmethod
    def settings() -> Settings:
        return parse_settings(
            {
                "pipeline": {"image_size": SIZE, "batch_size": BATCH},
                "model": {"build": "tests.streaming.user_code:normalised"},
                "evaluation": {"every_batches": 0},
            }
        )


def test_moving_statistics_optimizer_and_weights_are_as_if_the_poison_had_never_come() -> None:
    poisoned, clean = OwnStep(), OwnStep()
    for bench in (poisoned, clean):
        bench.train(10, 60, 120, 200)
    before = poisoned.trainer.state()
    poisoned.train(15, POISON, 90, POISON, 180)
    for level in (15, 90, 180):  # the neighbours of a poisoned record are trained one by one
        clean.train(level)
    for bench in (poisoned, clean):
        bench.train(30, 80, 140, 210)

    after, expected = poisoned.trainer.state(), clean.trainer.state()
    moving = [name for name in after if "moving_" in name]
    slots = [name for name in after if "momentum" in name or "velocity" in name]
    assert moving
    assert slots
    assert all((before[name] != after[name]).any() for name in moving)
    assert all(np.isfinite(values).all() for values in after.values())
    assert [name for name in after if after[name].tobytes() != expected[name].tobytes()] == []
    assert poisoned.settled(Kind.DEAD_LETTERED) == [(5, 6), (7, 8)]
    assert poisoned.counters()["records_dead_lettered_totalnon_finite"] == 2
    assert poisoned.learning.step == clean.learning.step == 5


def test_a_batch_of_poison_alone_leaves_no_trace() -> None:
    bench = OwnStep()
    bench.train(10, 60, 120, 200)
    before = bench.trainer.state()
    bench.train(POISON, POISON)
    assert {name: values.tobytes() for name, values in bench.trainer.state().items()} == {
        name: values.tobytes() for name, values in before.items()
    }
    assert bench.settled(Kind.DEAD_LETTERED) == [(4, 6)]
