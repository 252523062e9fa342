"""Palette indexes survive, whatever the palette says."""

import cv2
import numpy as np
import pytest

from streaming.records.png import GREY, PALETTE, PngHeader, as_index_png, as_palette_png, png_header
from tests.streaming.pictures import chunks_of, png

CLASSES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
COLOURS = bytes(range(9))


def test_the_header_tells_size_depth_and_colour() -> None:
    assert png_header(png(CLASSES, PALETTE, 4, PLTE=COLOURS)) == PngHeader(3, 2, 4, PALETTE)
    assert png_header(png(CLASSES.repeat(4).reshape(2, 3, 4), 6, 16)) == PngHeader(3, 2, 16, 6)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"\xff\xd8\xff" + bytes(60), png(CLASSES)[:32]])
def test_what_does_not_begin_as_a_png_does_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no PNG header"):
        png_header(data)


def test_only_the_pixels_are_left_and_they_are_called_grey() -> None:
    encoded = png(CLASSES, PALETTE, PLTE=COLOURS, tRNS=b"\x00\x80", tEXt=b"Comment\x00palette")
    plain = as_index_png(encoded, png_header(encoded))
    assert png_header(plain) == PngHeader(3, 2, 8, GREY)
    assert [name for _, _, name in chunks_of(plain)] == [b"IHDR", b"IDAT", b"IEND"]
    assert plain == png(CLASSES)


def test_a_png_cut_anywhere_is_refused() -> None:
    encoded = png(CLASSES, PALETTE, PLTE=COLOURS)
    for length in range(33, len(encoded)):
        with pytest.raises(ValueError, match="PNG cut short"):
            as_index_png(encoded[:length], png_header(encoded))


def test_a_palette_put_on_and_taken_off_again_leaves_the_same_bytes() -> None:
    plain = png(CLASSES)
    shown = as_palette_png(plain, np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert [name for _, _, name in chunks_of(shown)] == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    assert png_header(shown) == PngHeader(3, 2, 8, PALETTE)
    assert as_index_png(shown, png_header(shown)) == plain
    colours = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED)
    assert colours[0].tolist() == [[2, 1, 0, 3], [6, 5, 4, 7], [10, 9, 8, 11]]
