"""Pictures and masks through native decoders, each the least CPU time of those with wheels everywhere.

JPEG: libjpeg-turbo (simplejpeg), which decodes straight to a half, a quarter or an eighth of its size. The eighths
between take longer, are farther from the picture (2.4 dB at 500x375 -> 128), and TensorFlow, which serves, lacks them.
PNG of 8 bits: Rust's png (kornia-rs), a quarter of libpng's time for a mask of 500x375 and half for a picture; it holds
the interpreter's lock meanwhile, the others release it. All other PNG, and what Rust's refuses: libpng (OpenCV).
`make bench-decoders` measures them beside what else there is.
"""

import contextlib

import cv2
import numpy as np
import simplejpeg
from kornia_rs.io import decode_image_png_u8

from streaming.arrays import Array
from streaming.records import jpeg, png
from streaming.records.png import GREY, PALETTE, RGB, as_index_png, png_header
from streaming.records.sample import Reject

RATIOS = (8, 4, 2)  # in which a JPEG is decoded beside its own size
MUCH = 3  # by area takes six times as long, and a JPEG that has been decoded at a half or less rarely needs it

cv2.setNumThreads(1)  # parallel calls come from tf.data
cv2.setLogLevel(0)


def picture_size(encoded: bytes) -> tuple[int, int]:
    """Height and width, from the header alone. Raises ValueError when it is neither a JPEG nor a PNG."""
    if encoded.startswith(png.SIGNATURE):
        header = png_header(encoded)
        return header.height, header.width
    if encoded.startswith(jpeg.SIGNATURE):
        return jpeg.jpeg_size(encoded)
    raise ValueError("neither a JPEG nor a PNG by its first bytes")


def decode_picture(encoded: bytes, least: int) -> Array:
    """uint8[H, W, 3] from a JPEG or a PNG; a JPEG as small as it comes with no side shorter than `least`.

    Raises ValueError.
    """
    if encoded.startswith(jpeg.SIGNATURE):
        height, width = jpeg.jpeg_size(encoded)
        ratio = next((ratio for ratio in RATIOS if -(-min(height, width) // ratio) >= least), 1)
        sides = {"min_height": -(-height // ratio), "min_width": -(-width // ratio)}
        decoded: Array = simplejpeg.decode_jpeg(encoded, "RGB", **sides)
        return decoded
    header = png_header(encoded)
    if header.depth == 8 and header.colour == RGB:
        with contextlib.suppress(Exception):  # it raises nothing more special
            pixels: Array = decode_image_png_u8(encoded, (header.height, header.width), "rgb")
            return pixels
    bgr = _libpng(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def decode_mask(encoded: bytes, max_pixels: int) -> Array | Reject:
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
        if header.depth == 8:
            with contextlib.suppress(Exception):  # it raises nothing more special
                indexes: Array = decode_image_png_u8(encoded, (header.height, header.width), "mono")
                return indexes[..., 0]
        mask = _libpng(as_index_png(encoded, header), cv2.IMREAD_UNCHANGED)
    except ValueError as error:
        return Reject("mask_undecodable", str(error))
    if header.depth < 8:  # libpng spreads 1, 2 and 4 bits over 0 to 255
        mask = mask // np.uint8(255 // ((1 << header.depth) - 1))
    return mask


def resize(image: Array, out: Array) -> None:
    """uint8[H, W, 3] to uint8[S, S, 3]: bilinear, by area where a side is at least `MUCH` times too long."""
    if image.shape == out.shape:
        np.copyto(out, image)
        return
    size = len(out)
    shrinks = max(image.shape[0], image.shape[1]) >= MUCH * size
    cv2.resize(image, (size, size), dst=out, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def pick(mask: Array, out: Array) -> None:
    """uint8[H, W] to uint8[S, S]: the nearest to each centre, as `tf.image.resize` picks and as `resize` lies."""
    if mask.shape == out.shape:
        np.copyto(out, mask)
    else:
        size = len(out)
        cv2.resize(mask, (size, size), dst=out, interpolation=cv2.INTER_NEAREST_EXACT)


def _libpng(encoded: bytes, flags: int) -> Array:
    """Raises ValueError."""
    try:
        decoded: Array | None = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:
        raise ValueError("PNG can't be decoded") from error
    if decoded is None:
        raise ValueError("PNG can't be decoded")
    return decoded
