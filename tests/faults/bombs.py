"""Small records that are large once they are decoded, or that announce it."""

import struct
import zlib

from streaming.records.example import encode_example

SIDE = 8  # pixels, of what is as small as it looks
GREY, COLOUR = 0, 2


def announced_image(width: int, height: int) -> bytes:
    """A picture whose header announces so many pixels, and that has next to none."""
    return encode_example(image=png(width, height, COLOUR, b"\x00" * 1000), mask=_small(GREY))


def announced_mask(width: int, height: int) -> bytes:
    return encode_example(image=_small(COLOUR), mask=png(width, height, GREY, b"\x00" * 1000))


def inflating_image(size_bytes: int) -> bytes:
    """A whole picture whose data goes on behind its last row, for so many zeros."""
    return encode_example(image=_small(COLOUR, b"\x00" * size_bytes), mask=_small(GREY))


def png(width: int, height: int, colour: int, rows: bytes) -> bytes:
    """rows: each a filter byte and its samples, 8 bits each."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _small(colour: int, more: bytes = b"") -> bytes:
    samples = SIDE * (3 if colour == COLOUR else 1)
    return png(SIDE, SIDE, colour, b"\x00" * (samples + 1) * SIDE + more)
