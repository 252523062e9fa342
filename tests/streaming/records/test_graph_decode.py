"""The graph that serves sees what the pipeline sees: bit by bit where TensorFlow's decoder can, else nearly."""

from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
import tensorflow as tf

from streaming.arrays import Array
from streaming.demo.pets import draw_pet, encode_pet
from streaming.records.decode import Decoder, Limits
from streaming.records.graph_decode import decode_images
from streaming.records.sample import Sample

pytestmark = pytest.mark.tf
SIZE = 64


@pytest.fixture(scope="module")
def graph() -> Any:
    return tf.function(lambda encoded: decode_images(encoded, SIZE), input_signature=[tf.TensorSpec([None], tf.string)])


def pipeline(encoded: bytes) -> Array:
    """uint8[SIZE, SIZE, 3], as a training sees it."""
    limits = Limits(SIZE, 3, 1 << 25, 1 << 26, labels=True)
    decoded = Decoder(limits, lambda value, _: Sample(value, 0), lambda _: pytest.fail("not decoded natively"))
    return np.asarray(decoded(encoded, b"").image)


def photo(rng: np.random.Generator, height: int, width: int) -> Array:
    """Noise of all sizes with the spectrum of a photograph, mostly grey."""
    image = np.zeros((height, width, 3), np.float32)
    for grain in (2, 4, 8, 16, 32):
        noise = rng.normal(0, 1, (max(2, height // grain), max(2, width // grain), 3)).astype(np.float32)
        grey = 0.8 * noise.mean(-1, keepdims=True) + 0.2 * noise
        image += cv2.resize(grey, (width, height), interpolation=cv2.INTER_CUBIC) * grain**0.8
    return np.clip((image - image.mean()) / image.std() * 50 + 128, 0, 255).astype(np.uint8)


def jpeg(rng: np.random.Generator, height: int, width: int, colour: str = "420") -> bytes:
    return simplejpeg.encode_jpeg(photo(rng, height, width), quality=90, colorsubsampling=colour)


def distances(graph: Any, encoded: list[bytes]) -> Array:
    """int64[B, SIZE, SIZE, 3]: grey levels between pipeline and graph."""
    wanted = np.stack([pipeline(each) for each in encoded]).astype(int)
    return np.abs(wanted - graph(tf.constant(encoded)).numpy().astype(int))


@pytest.mark.parametrize("colour", ["444", "422", "420"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 128), (256, 256), (512, 512), (505, 507)])
def test_what_needs_no_resize_is_the_same_bit_by_bit(graph: Any, height: int, width: int, colour: str) -> None:
    assert distances(graph, [jpeg(np.random.default_rng(height), height, width, colour)]).max() == 0


@pytest.mark.parametrize(
    ("height", "width"),
    [(40, 50), (70, 100), (100, 330), (300, 260), (253, 127), (1000, 700), (66, 900), (128, 500), (375, 500)],
)
@pytest.mark.parametrize("colour", ["444", "420"])
def test_a_resize_differs_by_one_grey_level(graph: Any, height: int, width: int, colour: str) -> None:
    found = distances(graph, [jpeg(np.random.default_rng(n), height, width, colour) for n in range(3)])
    assert found.max() <= 1


def test_pets_of_the_demo_and_png_are_near_and_nonsense_is_refused(graph: Any) -> None:
    pets = [encode_pet(draw_pet(0, index))[0] for index in range(20)]
    found = distances(graph, pets)
    assert found.max() <= 1
    assert found.mean() < 0.2
    image = photo(np.random.default_rng(1), 90, 80)
    assert distances(graph, [cv2.imencode(".png", image)[1].tobytes()]).max() <= 1
    assert graph(tf.constant([], tf.string)).shape == (0, SIZE, SIZE, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(tf.constant([b"no picture"]))
