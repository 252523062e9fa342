"""A record's bytes become an image and a target of the model's size, natively; bad data is a value.

JPEG through libjpeg-turbo, which decodes straight to the fewest eighths of its size that are not too small; PNG through
libpng; both by libraries that release the interpreter's lock. What they refuse goes to TensorFlow's decoder: it is more
lenient, with stray bytes between the segments of a JPEG, for one.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from streaming.arrays import Array
from streaming.records import jpeg, png
from streaming.records.jpeg import jpeg_size
from streaming.records.png import GREY, PALETTE, as_index_png, png_header
from streaming.records.sample import Reject, Sample

IGNORE = 255
EMPTY = "empty"  # reason of tombstones and empty values, which are skipped and not dead-lettered
PARSE_ERROR = "parse_error"  # the user's parser raised, or returned something unusable
MOST_DETAIL = 300  # characters

Image = Array
Parse = Callable[[bytes, bytes], Sample | Reject]
Fallback = Callable[[bytes], Image]

cv2.setNumThreads(1)  # parallel calls come from tf.data
cv2.setLogLevel(0)


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

    def __call__(self, value: bytes, key: bytes) -> Decoded | Reject:
        """One record. Reasons: empty, too_large, parse_error, those of `parse`, image_*, mask_*, label_range,
        target_kind."""
        if not value:
            return Reject(EMPTY, "tombstone or empty value")
        if len(value) > self.limits.max_bytes:
            return Reject("too_large", f"{len(value)} bytes, limit {self.limits.max_bytes}")
        sample = self._parsed(value, key)
        if isinstance(sample, Reject):
            return sample
        image = self._image(sample.image)
        if isinstance(image, Reject):
            return image
        pixels, height, width = image
        target = self._target(sample.target, height, width)
        if isinstance(target, Reject):
            return target
        return Decoded(pixels, target, None if sample.event_time_ms is None else int(sample.event_time_ms))

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

    def _image(self, encoded: bytes | Image) -> tuple[Image, int, int] | Reject:
        """The image at the model's size, and its own height and width."""
        if isinstance(encoded, np.ndarray):
            return self._raw_image(encoded)
        try:
            height, width = picture_size(encoded)
        except ValueError as error:
            return Reject("image_undecodable", str(error))
        if height * width > self.limits.max_pixels:
            return Reject("image_pixels", f"{width}x{height}, limit {self.limits.max_pixels} pixels")
        try:
            image = self._native(encoded)
        except (ValueError, cv2.error):
            try:
                image = self._fallback(encoded)
            except ValueError as error:
                return Reject("image_undecodable", str(error))
        return self._resized(image), height, width

    def _raw_image(self, image: Image) -> tuple[Image, int, int] | Reject:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            return Reject("image_undecodable", f"array {image.dtype}{list(image.shape)} is not uint8[H, W, 3]")
        return self._resized(image), image.shape[0], image.shape[1]

    def _native(self, encoded: bytes) -> Image:
        size = self.limits.image_size
        if encoded.startswith(jpeg.SIGNATURE):
            decoded: Image = simplejpeg.decode_jpeg(encoded, "RGB", min_height=size, min_width=size)
            return decoded
        bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is None:
            raise ValueError("PNG can't be decoded")
        rgb: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return rgb

    def _resized(self, image: Image) -> Image:
        size = self.limits.image_size
        if image.shape[:2] == (size, size):
            return image
        shrinks = max(image.shape[0], image.shape[1]) >= 2 * size
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized: Image = cv2.resize(image, (size, size), interpolation=way)
        return resized

    def _target(self, target: bytes | Image | int, height: int, width: int) -> Image | int | Reject:
        if isinstance(target, np.integer):
            target = int(target)
        if isinstance(target, int) != self.limits.labels:
            wanted = "a label" if self.limits.labels else "a mask"
            return Reject("target_kind", f"the model learns from {wanted}; the record has the other kind")
        if isinstance(target, int):
            if 0 <= target < self.limits.classes:
                return target
            return Reject("label_range", f"label {target}, classes 0 to {self.limits.classes - 1}")
        mask = decode_mask(target, self.limits.max_pixels) if isinstance(target, bytes) else target
        if isinstance(mask, Reject):
            return mask
        if mask.dtype != np.uint8 or mask.ndim != 2:
            return Reject("mask_undecodable", f"array {mask.dtype}{list(mask.shape)} is not uint8[H, W]")
        size = self.limits.image_size
        if mask.shape not in ((height, width), (size, size)):
            return Reject("mask_size", f"mask {mask.shape[1]}x{mask.shape[0]}, image {width}x{height}")
        if ((mask >= self.limits.classes) & (mask != IGNORE)).any():
            worst = int(mask[mask != IGNORE].max())
            return Reject("mask_range", f"class {worst} in the mask, classes 0 to {self.limits.classes - 1}")
        picked: Image = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
        return picked


def picture_size(encoded: bytes) -> tuple[int, int]:
    """Height and width, from the header alone. Raises ValueError when it is neither a JPEG nor a PNG."""
    if encoded.startswith(png.SIGNATURE):
        header = png_header(encoded)
        return header.height, header.width
    if encoded.startswith(jpeg.SIGNATURE):
        return jpeg_size(encoded)
    raise ValueError("neither a JPEG nor a PNG by its first bytes")


def decode_mask(encoded: bytes, max_pixels: int) -> Image | Reject:
    """uint8[H, W] of class indexes: palette PNGs give the index, 1-, 2- and 4-bit grey its own value."""
    try:
        header = png_header(encoded)
        if header.width * header.height > max_pixels:
            return Reject("mask_pixels", f"{header.width}x{header.height}, limit {max_pixels} pixels")
        if header.colour not in (GREY, PALETTE) or header.depth > 8:
            return Reject(
                "mask_channels",
                f"colour type {header.colour}, {header.depth} bits; wanted one channel of 8 bits or less",
            )
        plain = as_index_png(encoded, header)
    except ValueError as error:
        return Reject("mask_undecodable", str(error))
    try:
        mask: Image | None = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        mask = None
    if mask is None:
        return Reject("mask_undecodable", "PNG can't be decoded")
    if header.depth < 8:  # libpng spreads 1, 2 and 4 bits over 0 to 255
        mask = mask // np.uint8(255 // ((1 << header.depth) - 1))
    return mask


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
