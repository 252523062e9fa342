"""What a PNG's header says, masks as class indexes, and back. Source: W3C PNG specification, sections 5 and 11."""

import struct
import zlib
from typing import NamedTuple

from streaming.arrays import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3


class PngHeader(NamedTuple):
    """The fields of IHDR. depth: bits a sample; colour: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha."""

    width: int
    height: int
    depth: int
    colour: int


def png_header(data: bytes) -> PngHeader:
    """Raises ValueError when the data doesn't begin with a signature and an IHDR chunk."""
    if len(data) < 33 or not data.startswith(SIGNATURE) or data[12:16] != b"IHDR":
        raise ValueError("no PNG header")
    return PngHeader(*struct.unpack(">IIBB", data[16:26]))


def as_index_png(data: bytes, header: PngHeader) -> bytes:
    """The same picture with every sample as plain grey, so that a decoder hands out palette *indexes*.

    Decoders turn a palette into its colours. The samples stored are the indexes, so it is enough to call them
    grey in IHDR and to leave the palette and all ancillary chunks out; no pixel is touched.
    Raises ValueError when the chunks are cut short.
    """
    parts = [SIGNATURE, _chunk(b"IHDR", data[16:25] + bytes([GREY]) + data[26:29])]
    at = 33
    while True:
        if at + 12 > len(data):
            raise ValueError("PNG cut short")
        (size,) = struct.unpack(">I", data[at : at + 4])
        name = data[at + 4 : at + 8]
        if name in (b"IDAT", b"IEND"):
            parts.append(data[at : at + 12 + size])
        at += 12 + size
        if name == b"IEND":
            return b"".join(parts)


def as_palette_png(data: bytes, palette: Array) -> bytes:
    """The inverse: an 8-bit grey PNG as one that shows in colours, its samples being indexes into the palette.

    palette: uint8[N, 4], red, green, blue, alpha; N is more than the largest sample.
    """
    head = SIGNATURE + _chunk(b"IHDR", data[16:25] + bytes([PALETTE]) + data[26:29])
    colours = _chunk(b"PLTE", palette[:, :3].tobytes()) + _chunk(b"tRNS", palette[:, 3].tobytes())
    return head + colours + data[33:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
