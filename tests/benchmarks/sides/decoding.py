"""How users of other loaders decode a record in Python, with the two libraries they would take."""

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg

from streaming.arrays import Array
from streaming.records.example import parse_example
from streaming.records.sample import Sample

cv2.setNumThreads(0)  # the loaders bring their own parallelism

Decode = Callable[[bytes, int], tuple[Array, Array]]
"""A record's value and a size become uint8[S, S, 3] and uint8[S, S]."""


def with_cv2(value: bytes, size: int) -> tuple[Array, Array]:
    """OpenCV alone; it decodes a JPEG of more than twice the size at half its size."""
    image, mask = _pictures(value)
    bgr = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    return cv2.cvtColor(cv2.resize(bgr, (size, size)), cv2.COLOR_BGR2RGB), _mask(mask, size)


def with_simplejpeg(value: bytes, size: int) -> tuple[Array, Array]:
    """simplejpeg at the smallest scale that is large enough, the rest by OpenCV."""
    image, mask = _pictures(value)
    rgb = simplejpeg.decode_jpeg(image, "RGB", min_height=size, min_width=size)
    return cv2.resize(rgb, (size, size)), _mask(mask, size)


DECODERS: dict[str, Decode] = {"cv2": with_cv2, "simplejpeg": with_simplejpeg}


def _pictures(value: bytes) -> tuple[bytes, bytes]:
    sample = parse_example(value, b"")
    assert isinstance(sample, Sample)
    assert isinstance(sample.image, bytes)
    assert isinstance(sample.target, bytes)
    return sample.image, sample.target


def _mask(encoded: bytes, size: int) -> Array:
    mask = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
