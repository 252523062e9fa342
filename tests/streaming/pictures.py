"""Pictures for tests: smooth ones, and PNGs of every kind that the specification allows, written by hand."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from streaming.records.png import GREY, PALETTE, SIGNATURE

Array = NDArray[Any]
SAMPLES = {GREY: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def smooth(height: int, width: int) -> Array:
    """uint8[height, width, 3]: gradients that every resampling keeps."""
    y, x = np.mgrid[0:height, 0:width]
    tops = [x / max(width - 1, 1), y / max(height - 1, 1), (x + y) / max(width + height - 2, 1)]
    picture: Array = (np.stack(tops, -1) * 200 + 20).astype(np.uint8)
    return picture


def jpeg(image: Array, quality: int = 95, colorspace: str = "RGB", **options: Any) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, colorspace, **options)
    return encoded


def progressive_jpeg(image: Array) -> bytes:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 95]
    return bytes(cv2.imencode(".jpg", image[..., ::-1], options)[1])


def with_orientation(encoded: bytes, orientation: int) -> bytes:
    """The same JPEG, with an Exif segment that asks for a rotation."""
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return encoded[:2] + b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\x00\x00" + tiff + encoded[2:]


def png(samples: Array, colour: int = GREY, depth: int = 8, *, interlaced: bool = False, **chunks: bytes) -> bytes:
    """samples: [H, W] or [H, W, C], as many channels as the colour type has. chunks: those before the data, by name."""
    samples = samples.reshape(*samples.shape[:2], SAMPLES[colour])
    height, width = samples.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = (row for y, x, dy, dx in passes for row in samples[y::dy, x::dx])
    data = b"".join(b"\x00" + packed for packed in (_packed(row, depth) for row in rows) if packed)
    return (
        png_start(width, height, depth, colour, interlaced)
        + b"".join(_chunk(name.encode(), content) for name, content in chunks.items())
        + _chunk(b"IDAT", zlib.compress(data, 1))
        + _chunk(b"IEND", b"")
    )


def png_start(width: int, height: int, depth: int = 8, colour: int = 2, interlaced: bool = False) -> bytes:
    """Signature and header."""
    return SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def chunks_of(encoded: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(where its length stands, size of its content, name) of every chunk."""
    at = len(SIGNATURE)
    while at < len(encoded):
        (size,) = struct.unpack(">I", encoded[at : at + 4])
        yield at, size, encoded[at + 4 : at + 8]
        at += 12 + size


def _packed(row: Array, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
