"""The scores say what a hand would compute, survive a restart, and one broken batch doesn't spoil them."""

import json
import math

import numpy as np
import pytest

from streaming.control.messages import Score
from streaming.training.evaluation import FADE_PER_RECORD, EvaluationSet, Prequential, Scored, as_scores, ious

CONFUSION = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])  # rows the truth; class 2 never occurs


def by_name(scores: list[Score]) -> dict[str, float]:
    return {score.name + score.class_: score.value for score in scores}


def test_iou_is_hits_over_what_is_truth_or_guess() -> None:
    assert ious(CONFUSION)[:2] == pytest.approx([6 / 9, 3 / 6])
    assert np.isnan(ious(CONFUSION)[2])


def test_classes_that_never_occur_are_left_out_of_the_scores() -> None:
    scores = as_scores("4", 0.5, CONFUSION)
    assert {score.set for score in scores} == {"4"}
    assert by_name(scores) == pytest.approx({"loss": 0.5, "mean_iou": (6 / 9 + 3 / 6) / 2, "iou0": 6 / 9, "iou1": 0.5})
    assert by_name(as_scores("4", 0.5, np.zeros((3, 3), int))) == {"loss": 0.5}
    assert by_name(as_scores("4", 0.5, None)) == {"loss": 0.5}


def test_a_score_that_has_seen_nothing_says_nothing() -> None:
    assert Prequential().scores() == []


def test_older_batches_fade_by_the_records_that_came_after_them() -> None:
    prequential = Prequential()
    prequential.add(Scored(3.0, np.diag([10, 0])), 10)
    prequential.add(Scored(1.0, np.array([[0, 5], [5, 0]])), 20)
    fade = FADE_PER_RECORD**20
    expected = {"loss": (30 * fade + 20) / (10 * fade + 20), "mean_iou": 10 * fade / (10 * fade + 10) / 2}
    assert by_name(prequential.scores())["loss"] == pytest.approx(expected["loss"])
    assert by_name(prequential.scores())["mean_iou"] == pytest.approx(expected["mean_iou"])


def test_the_state_gives_the_same_scores_after_a_restart_and_later() -> None:
    first = Prequential()
    for loss, confusion in ((0.7, CONFUSION), (0.6, None), (0.5, CONFUSION)):
        first.add(Scored(loss, confusion), 32)
    second = Prequential()
    second.restore(json.loads(json.dumps(first.state())))
    for prequential in (first, second):
        prequential.add(Scored(0.4, CONFUSION.T), 7)
    assert second.scores() == first.scores()
    empty = Prequential()
    empty.restore(json.loads(json.dumps(Prequential().state())))
    assert empty.scores() == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_batch_whose_loss_is_not_finite_leaves_the_score_as_it_is(loss: float) -> None:
    prequential = Prequential()
    prequential.add(Scored(0.5, CONFUSION), 32)
    before = prequential.state()
    prequential.add(Scored(loss, CONFUSION), 32)
    assert prequential.state() == before
    json.dumps(before, allow_nan=False)


def filled(count: int, size: int = 5) -> EvaluationSet:
    made = EvaluationSet(3, size)
    for number in range(count):
        made.add(np.full((4, 4, 3), number, np.uint8), np.full((4, 4), number % 3, np.uint8))
    return made


def test_a_full_set_stays_as_it_is() -> None:
    images, targets = filled(9).arrays()
    assert len(filled(9)) == 5
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert (images.shape, images.dtype, targets.shape, targets.dtype) == ((5, 4, 4, 3), "uint8", (5, 4, 4), "uint8")


def test_a_set_comes_back_from_disk_and_grows_on() -> None:
    loaded = EvaluationSet.load(3, 5, filled(3).dump())
    assert (loaded.number, len(loaded)) == (3, 3)
    for ours, theirs in zip(loaded.arrays(), filled(3).arrays(), strict=True):
        assert (ours == theirs).all()
    for number in range(3, 9):
        loaded.add(np.full((4, 4, 3), number, np.uint8), np.full((4, 4), number % 3, np.uint8))
    assert loaded.dump() == filled(9).dump()


def test_labels_are_kept_as_numbers() -> None:
    made = EvaluationSet(1, 5)
    for label in (0, 2, 255):
        made.add(np.zeros((4, 4, 3), np.uint8), label)
    _, labels = EvaluationSet.load(1, 5, made.dump()).arrays()
    assert (labels.tolist(), labels.dtype) == ([0, 2, 255], "int64")


def test_a_frozen_set_does_not_grow() -> None:
    growing = filled(2)
    frozen = growing.frozen()
    growing.add(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    assert frozen is not None
    assert (len(frozen), len(growing)) == (2, 3)
    assert frozen.dump() == filled(2).dump()
    assert filled(0).frozen() is None
