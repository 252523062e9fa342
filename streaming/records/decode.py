"""A record's bytes become an image and a target of the model's size; bad data is a value.

What the native decoders refuse goes to TensorFlow's: it is more lenient, with stray bytes between the segments of a
JPEG, for one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streaming.arrays import Array
from streaming.records import native
from streaming.records.sample import Reject, Sample

IGNORE = 255
EMPTY = "empty"  # reason of tombstones and empty values, which are skipped and not dead-lettered
PARSE_ERROR = "parse_error"  # the user's parser raised, or returned something unusable
MOST_DETAIL = 300  # characters

Image = Array
Parse = Callable[[bytes, bytes], Sample | Reject]
Fallback = Callable[[bytes], Image]


class Room(NamedTuple):
    """Where a record's pixels go. image: uint8[S, S, 3]; mask: uint8[S, S], None where labels are the target."""

    image: Image
    mask: Image | None


class Decoded(NamedTuple):
    """image: uint8[S, S, 3]; target: uint8[S, S] class indexes (255 = ignore) or a label; event time in ms."""

    image: Image
    target: Image | int
    event_time_ms: int | None


class Limits(NamedTuple):
    """image_size: pixels a side of what the model sees; labels: it learns from numbers instead of masks."""

    image_size: int
    classes: int
    max_bytes: int
    max_pixels: int
    labels: bool


class Decoder:
    """Thread-safe: holds nothing but its limits and functions."""

    def __init__(self, limits: Limits, parse: Parse, fallback: Fallback) -> None:
        self.limits = limits
        self._parse = parse
        self._fallback = fallback

    def __call__(self, value: bytes, key: bytes, room: Room | None = None) -> Decoded | Reject:
        """One record, into `room` where there is one; what stands there after a reject is nobody's.

        Reasons: empty, too_large, parse_error, those of `parse`, image_*, mask_*, label_range, target_kind.
        """
        if not value:
            return Reject(EMPTY, "tombstone or empty value")
        if len(value) > self.limits.max_bytes:
            return Reject("too_large", f"{len(value)} bytes, limit {self.limits.max_bytes}")
        sample = self._parsed(value, key)
        if isinstance(sample, Reject):
            return sample
        image, mask = room or self._room()
        sides = self._image(sample.image, image)
        if isinstance(sides, Reject):
            return sides
        target = self._target(sample.target, sides, mask)
        if isinstance(target, Reject):
            return target
        return Decoded(image, target, None if sample.event_time_ms is None else int(sample.event_time_ms))

    def _room(self) -> Room:
        size = self.limits.image_size
        return Room(
            np.empty((size, size, 3), np.uint8), None if self.limits.labels else np.empty((size, size), np.uint8)
        )

    def _parsed(self, value: bytes, key: bytes) -> Sample | Reject:
        """What the parser says, which may be a user's: it may raise or return anything."""
        try:
            found = self._parse(value, key)
        except Exception as error:  # noqa: BLE001  # a user's function may raise anything
            return Reject(PARSE_ERROR, _line(f"{type(error).__name__}: {error}"))
        misuse = _misuse(found)
        if misuse is not None:
            return Reject(PARSE_ERROR, _line(misuse))
        return Reject(_line(found.reason), _line(found.detail)) if isinstance(found, Reject) else found

    def _image(self, encoded: bytes | Image, out: Image) -> tuple[int, int] | Reject:
        """The image at the model's size goes to `out`; its own height and width."""
        if isinstance(encoded, np.ndarray):
            return _raw_image(encoded, out)
        try:
            height, width = native.picture_size(encoded)
        except ValueError as error:
            return Reject("image_undecodable", str(error))
        if height * width > self.limits.max_pixels:
            return Reject("image_pixels", f"{width}x{height}, limit {self.limits.max_pixels} pixels")
        try:
            image = native.decode_picture(encoded, self.limits.image_size)
        except ValueError:
            try:
                image = self._fallback(encoded)
            except ValueError as error:
                return Reject("image_undecodable", str(error))
        native.resize(image, out)
        return height, width

    def _target(self, target: bytes | Image | int, sides: tuple[int, int], out: Image | None) -> Image | int | Reject:
        """sides: the image's; out: for a mask at the model's size."""
        if isinstance(target, np.integer):
            target = int(target)
        if isinstance(target, int) != self.limits.labels:
            wanted = "a label" if self.limits.labels else "a mask"
            return Reject("target_kind", f"the model learns from {wanted}; the record has the other kind")
        if isinstance(target, int):
            if 0 <= target < self.limits.classes:
                return target
            return Reject("label_range", f"label {target}, classes 0 to {self.limits.classes - 1}")
        mask = native.decode_mask(target, self.limits.max_pixels) if isinstance(target, bytes) else target
        if isinstance(mask, Reject):
            return mask
        if mask.dtype != np.uint8 or mask.ndim != 2:
            return Reject("mask_undecodable", f"array {mask.dtype}{list(mask.shape)} is not uint8[H, W]")
        assert out is not None
        if mask.shape not in (sides, out.shape):
            return Reject("mask_size", f"mask {mask.shape[1]}x{mask.shape[0]}, image {sides[1]}x{sides[0]}")
        if mask.max() >= self.limits.classes:  # the quick question first: most masks ignore nothing
            worst = int(mask.max(where=mask != IGNORE, initial=0))
            if worst >= self.limits.classes:
                return Reject("mask_range", f"class {worst} in the mask, classes 0 to {self.limits.classes - 1}")
        native.pick(mask, out)
        return out


def _raw_image(image: Image, out: Image) -> tuple[int, int] | Reject:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        return Reject("image_undecodable", f"array {image.dtype}{list(image.shape)} is not uint8[H, W, 3]")
    native.resize(image, out)
    return image.shape[0], image.shape[1]


def _misuse(found: object) -> str | None:
    """What is wrong with the types of a parser's result; None when nothing is."""
    if isinstance(found, Reject):
        words = isinstance(found.reason, str) and isinstance(found.detail, str)
        return None if words else "the parser's Reject holds something else than text"
    if not isinstance(found, Sample):
        return f"the parser returned {type(found).__name__}, not Sample or Reject"
    if not isinstance(found.image, bytes | np.ndarray):
        return f"the parser's image is {type(found.image).__name__}, not bytes or an array"
    if not isinstance(found.target, bytes | np.ndarray | int | np.integer):
        return f"the parser's target is {type(found.target).__name__}, not bytes, an array or a number"
    time_ms: object = found.event_time_ms
    if time_ms is None or (isinstance(time_ms, int | np.integer) and -(2**63) <= time_ms < 2**63):
        return None
    return f"the parser's event_time_ms is {time_ms!r}, not milliseconds"


def _line(text: str) -> str:
    """One line that can be encoded, of bounded length."""
    return " ".join(text.split()).encode(errors="replace").decode()[:MOST_DETAIL]
