"""What a record holds: the picture as it was taken, or something smaller, made once by who produces it."""

from enum import StrEnum
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from streaming.arrays import Array
from streaming.demo.pets import JPEG_QUALITY, encode_mask
from streaming.errors import PenstockError
from streaming.records import jpeg
from streaming.records.example import JPEG, PNG, RAW, encode_example
from streaming.records.native import decode_mask, decode_picture, pick, picture_size
from streaming.records.sample import Reject

_MOST_PIXELS = 1 << 30
_WHOLE = 1 << 16  # pixels a side: no JPEG has more


class Profile(StrEnum):
    """full: pictures and masks as they are. The others hold masks of the model's size, as its nearest pick;
    small-jpeg: also the picture, as a JPEG; raw: both, as plain bytes."""

    FULL = "full"
    SMALL_MASK = "small-mask"
    SMALL_JPEG = "small-jpeg"
    RAW = "raw"


class Shape(NamedTuple):
    """image_size: pixels a side of what is made small."""

    profile: Profile = Profile.FULL
    image_size: int = 128


def encode_record(shape: Shape, image: bytes, mask: bytes, *, filename: str, event_time_ms: int) -> bytes:
    """The value of a record. image: JPEG or PNG; mask: PNG. Raises PenstockError for what can't be made small."""
    made = _made(shape, image, mask, filename)
    return encode_example(
        image=made.image,
        mask=made.mask,
        filename=filename,
        image_encoding=made.image_encoding,
        height=made.height,
        width=made.width,
        mask_encoding=made.mask_encoding,
        mask_height=made.mask_side,
        mask_width=made.mask_side,
        event_time_ms=event_time_ms,
    )


class _Made(NamedTuple):
    """mask_side: None where the mask has the picture's size. None as well for what isn't known of a picture."""

    image: bytes
    image_encoding: str | None
    height: int | None
    width: int | None
    mask: bytes
    mask_encoding: str = PNG
    mask_side: int | None = None


def _made(shape: Shape, image: bytes, mask: bytes, name: str) -> _Made:
    described = _described(image)
    if shape.profile is Profile.FULL:
        return _Made(image, *described, mask)
    size = shape.image_size
    classes = _picked(_classes(mask, name), size)
    if shape.profile is Profile.SMALL_MASK:
        return _Made(image, *described, encode_mask(classes), PNG, size)
    pixels = np.empty((size, size, 3), np.uint8)
    cv2.resize(_pixels(image, name), (size, size), dst=pixels, interpolation=cv2.INTER_AREA)
    if shape.profile is Profile.SMALL_JPEG:
        return _Made(_as_jpeg(pixels), JPEG, size, size, encode_mask(classes), PNG, size)
    return _Made(pixels.tobytes(), RAW, size, size, classes.tobytes(), RAW, size)


def _described(image: bytes) -> tuple[str | None, int | None, int | None]:
    """Encoding, height and width; a picture that nobody can read is sent as it is, for the service to refuse."""
    try:
        height, width = picture_size(image)
    except ValueError:
        return None, None, None
    return (JPEG if image.startswith(jpeg.SIGNATURE) else PNG), height, width


def _pixels(image: bytes, name: str) -> Array:
    """uint8[H, W, 3], all of it."""
    try:
        return decode_picture(image, _WHOLE)
    except ValueError as error:
        raise PenstockError(f"{name}: the picture can't be made small: {error}") from error


def _classes(mask: bytes, name: str) -> Array:
    found = decode_mask(mask, _MOST_PIXELS)
    if isinstance(found, Reject):
        raise PenstockError(f"{name}: the mask can't be made small: {found.detail}")
    return found


def _picked(classes: Array, size: int) -> Array:
    out = np.empty((size, size), np.uint8)
    pick(classes, out)
    return out


def _as_jpeg(pixels: Array) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
    return encoded
