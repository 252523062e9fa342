"""People see what the model saw and made of it, in pictures that cost the worker next to nothing."""

import base64
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from streaming.arrays import Array
from streaming.control.messages import Picture, Pictures
from streaming.palette import class_palette
from streaming.records.batch import Batch, Rejected
from streaming.records.png import PALETTE, as_index_png, png_header
from streaming.showing import EVERY_S, LARGEST, REST, Showing
from streaming.training.evaluation import Scored

NOTHING = np.zeros(0, int)
NOBODY = Rejected(*[NOTHING] * len(Rejected._fields))


class Clock:
    """Each look at it takes as long as the test says."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.look_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.look_s
        return self.now_s


class Stage:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sent: list[Pictures] = []
        self.showing = Showing(self.take, 3, self.clock)

    def take(self, message: object) -> None:
        assert isinstance(message, Pictures)
        self.sent.append(message)

    def show(self, images: Array, targets: Array, guesses: Array | None) -> None:
        offsets = np.arange(len(images)) + 100
        batch = Batch(images, targets, np.zeros_like(offsets), offsets, offsets, offsets, NOBODY)
        self.showing.show(batch, Scored(0.5, None, guesses), step=7)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def images(count: int = 4, size: int = 16) -> Array:
    return np.stack([np.full((size, size, 3), 40 * row, np.uint8) for row in range(count)])


def masks(count: int = 4, size: int = 16) -> Array:
    return np.stack([np.full((size, size), row % 3, np.uint8) for row in range(count)])


def indexes(url: str | None) -> Array:
    """The samples of a PNG with a palette."""
    data = content(url, "image/png")
    header = png_header(data)
    assert (header.depth, header.colour) == (8, PALETTE)
    decoded: Array = cv2.imdecode(np.frombuffer(as_index_png(data, header), np.uint8), cv2.IMREAD_UNCHANGED)
    return decoded


def colours(url: str | None) -> Array:
    """uint8[H, W, 3], as a browser shows it."""
    decoded = cv2.imdecode(np.frombuffer(content(url, "image/png"), np.uint8), cv2.IMREAD_COLOR)
    shown: Array = decoded[..., ::-1]
    return shown


def content(url: str | None, kind: str) -> bytes:
    assert url is not None
    head, _, body = url.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body, validate=True)


def one(stage: Stage) -> Picture:
    return stage.sent[-1].pictures[0]


def test_mask_guess_and_error_stand_beside_the_picture(stage: Stage) -> None:
    truth, guess = masks(2), masks(2)
    truth[0, 0] = 255
    guess[0, 1] = 2
    stage.show(images(2), truth, guess)
    (message,) = stage.sent
    assert (message.step, len(message.colours), [each.offset for each in message.pictures]) == (7, 3, [100, 101])
    first = message.pictures[0]
    assert (indexes(first.mask) == truth[0]).all()
    assert (indexes(first.prediction) == guess[0]).all()
    assert (indexes(first.error) == ((guess[0] != truth[0]) & (truth[0] != 255))).all()
    assert first.wrong == pytest.approx(1 / 15)
    assert message.pictures[1].wrong == 0
    seen = cv2.imdecode(np.frombuffer(content(first.image, "image/jpeg"), np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (16, 16, 3)


def test_classes_are_shown_in_the_colours_that_are_told(stage: Stage) -> None:
    stage.show(images(3), masks(3), masks(3))
    for number, picture in enumerate(stage.sent[0].pictures):
        assert "#" + colours(picture.mask)[0, 0].tobytes().hex() == stage.sent[0].colours[number]


def test_there_is_a_colour_of_its_own_for_every_class() -> None:
    palette = class_palette()
    assert palette.shape == (256, 4)
    assert len({tuple(colour) for colour in palette[:255]}) == 255
    assert palette[255, 3] == 0


def test_large_pictures_are_made_small_and_their_classes_stay_classes(stage: Stage) -> None:
    truth, guess = masks(1, 500), masks(1, 500) + 2
    stage.show(images(1, 500), truth, guess)
    assert indexes(one(stage).prediction).shape == (LARGEST, LARGEST)
    assert set(np.unique(indexes(one(stage).prediction))) == {2}
    assert one(stage).wrong == 1


def test_labels_are_told_as_numbers(stage: Stage) -> None:
    stage.show(images(2), np.array([1, 2]), np.array([1, 0], np.uint8))
    told = [(each.label, each.predicted_label, each.wrong, each.mask) for each in stage.sent[0].pictures]
    assert told == [(1, 1, 0.0, None), (2, 0, 1.0, None)]


def test_a_picture_of_which_nothing_is_known_is_neither_right_nor_wrong(stage: Stage) -> None:
    stage.show(images(1), np.full_like(masks(1), 255), masks(1))
    assert one(stage).wrong is None


def test_nothing_is_shown_of_a_model_whose_output_is_no_classes(stage: Stage) -> None:
    stage.show(images(), masks(), None)
    assert stage.sent == []


@pytest.mark.parametrize("took_s", [0.0, 0.5])
def test_it_rests_far_longer_than_it_works(stage: Stage, took_s: float) -> None:
    stage.clock.look_s = took_s
    stage.show(images(), masks(), masks())
    first = shown_again_after(stage, lambda: stage.show(images(), masks(), masks()))
    assert first >= max(EVERY_S, REST * took_s)
    assert first < 2 * max(EVERY_S, REST * took_s)


def shown_again_after(stage: Stage, show: Callable[[], None]) -> float:
    """Seconds until the second message."""
    began, stage.clock.look_s = stage.clock.now_s, 0.0
    while len(stage.sent) < 2:
        stage.clock.now_s += 0.5
        show()
    return stage.clock.now_s - began
