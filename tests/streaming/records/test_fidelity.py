"""The native path is no worse than TensorFlow's own operations, against what a careful person would do: decode a
picture in full and take the mean of each area. 500 drawn pets, `pet-20-0000000.jpg` to `pet-20-0000499.jpg`."""

from typing import NamedTuple

import cv2
import numpy as np
import pytest
import simplejpeg
import tensorflow as tf

from streaming.arrays import Array
from streaming.demo.pets import draw_pet, encode_pet
from streaming.records.decode import Decoded, Decoder, Limits
from streaming.records.example import encode_example, parse_example
from tests.benchmarks.plain_chain import decoded

pytestmark = pytest.mark.tf
SEED, COUNT, SIZE = 20, 500, 128
LIMITS = Limits(SIZE, 3, 1 << 25, 1 << 26, labels=False)


class Compared(NamedTuple):
    """ours_db, plain_db: PSNR of a picture; same: share of a mask's pixels that are the nearest pick."""

    ours_db: float
    plain_db: float
    same: float


@pytest.fixture(scope="module")
def compared() -> list[Compared]:
    native = Decoder(LIMITS, parse_example, lambda _: pytest.fail("not decoded natively"))
    plain = tf.function(lambda value: decoded(value, SIZE), input_signature=[tf.TensorSpec([], tf.string)])
    found = []
    for index in range(COUNT):
        jpeg, mask = encode_pet(draw_pet(SEED, index))
        value = encode_example(image=jpeg, mask=mask)
        ours = native(value, b"")
        assert isinstance(ours, Decoded)
        image, picked = plain(tf.constant(value))
        area = cv2.resize(simplejpeg.decode_jpeg(jpeg, "RGB"), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        same = float((ours.target == picked.numpy()[..., 0]).mean())
        found.append(Compared(psnr_db(ours.image, area), psnr_db(image.numpy() * 255, area), same))
    return found


def psnr_db(image: Array, reference: Array) -> float:
    """Of pixels 0 to 255."""
    return float(10 * np.log10(255**2 / np.mean((image.astype(float) - reference) ** 2)))


def test_pixels_are_at_most_a_fifth_of_a_decibel_worse(compared: list[Compared]) -> None:
    gains_db = [one.ours_db - one.plain_db for one in compared]
    assert np.mean(gains_db) >= -0.2
    assert np.quantile(gains_db, 0.05) >= -0.2


def test_masks_are_the_nearest_pick(compared: list[Compared]) -> None:
    assert min(one.same for one in compared) >= 0.999
