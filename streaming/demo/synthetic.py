"""Records of drawn pets, among them, where wanted, every kind of record that a service must refuse."""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from streaming.demo.pets import Pet, draw_pet, encode_mask, encode_pet
from streaming.demo.profiles import Shape, encode_record
from streaming.demo.sources import Clock, Record, now_ms

Spoil = Callable[[Pet, bytes, bytes, Random], tuple[bytes, bytes]]
"""Pet, its JPEG and its mask as PNG become what is sent instead."""

_FULL = Shape()


def synthetic(
    seed: int,
    first: int = 0,
    count: int | None = None,
    broken_every: int = 0,
    *,
    shape: Shape = _FULL,
    clock: Clock = now_ms,
) -> Iterator[Record]:
    """Drawn pets from index `first` on, endless unless `count` is given.

    broken_every: n makes each n-th record a bad one, its kind in turn (`BROKEN`); 0: none.
    Bad ones have full size in every shape.
    """
    for index in itertools.count(first) if count is None else range(first, first + count):
        key = f"pet-{seed}-{index:07d}.jpg"
        broken = broken_every and (index + 1) % broken_every == 0
        kind = BROKEN[((index + 1) // broken_every - 1) % len(BROKEN)] if broken else ""
        yield Record(key.encode(), _value(seed, index, key, kind, shape, clock))


def _value(seed: int, index: int, filename: str, kind: str, shape: Shape, clock: Clock) -> bytes | None:
    random = Random(f"broken/{seed}/{index}")  # noqa: S311
    if kind == "tombstone":
        return None
    if kind == "not_an_example":
        return random.randbytes(20_000)
    pet = draw_pet(seed, index)
    jpeg, mask = encode_pet(pet)
    if kind:
        jpeg, mask = _SPOIL[kind](pet, jpeg, mask, random)
    return encode_record(_FULL if kind else shape, jpeg, mask, filename=filename, event_time_ms=clock())


def _cut_jpeg(pet: Pet, jpeg: bytes, mask: bytes, random: Random) -> tuple[bytes, bytes]:
    return jpeg[: len(jpeg) // 2], mask


def _random_bytes(pet: Pet, jpeg: bytes, mask: bytes, random: Random) -> tuple[bytes, bytes]:
    return random.randbytes(len(jpeg)), mask


def _mask_size(pet: Pet, jpeg: bytes, mask: bytes, random: Random) -> tuple[bytes, bytes]:
    return jpeg, encode_mask(np.ascontiguousarray(pet.trimap[:-10, :-7]))


def _mask_range(pet: Pet, jpeg: bytes, mask: bytes, random: Random) -> tuple[bytes, bytes]:
    return jpeg, encode_mask(pet.trimap + np.uint8(7))


def _bomb(pet: Pet, jpeg: bytes, mask: bytes, random: Random) -> tuple[bytes, bytes]:
    """A PNG of a few hundred bytes whose header announces 200 megapixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""), mask


_SPOIL: dict[str, Spoil] = {
    "cut_jpeg": _cut_jpeg,
    "random_bytes": _random_bytes,
    "mask_size": _mask_size,
    "mask_range": _mask_range,
    "bomb": _bomb,
}
BROKEN = (*_SPOIL, "not_an_example", "tombstone")
