"""Records from pictures on disk: the Oxford-IIIT Pet archive as it is unpacked, or two folders paired by name."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import cv2
import numpy as np

from streaming.demo.pets import encode_mask
from streaming.demo.profiles import Shape, encode_record
from streaming.errors import PenstockError

PICTURES = (".jpg", ".jpeg", ".png")
Clock = Callable[[], int]
"""Unix time in milliseconds."""


class Record(NamedTuple):
    """What is sent to Kafka. value None: a tombstone."""

    key: bytes
    value: bytes | None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


_FULL = Shape()


def oxford_pet(
    directory: Path,
    split: str = "trainval",
    *,
    seed: int | None = None,
    shape: Shape = _FULL,
    clock: Clock = now_ms,
) -> Iterator[Record]:
    """The pictures that `annotations/<split>.txt` lists, trimaps 1, 2, 3 as classes 0, 1, 2 (0 becomes 255: ignored).

    seed: shuffles; None keeps the list's order. Raises PenstockError that names what the archive lacks.
    """
    names = [line.split()[0] for line in _listing(directory, split) if line.strip() and not line.startswith("#")]
    pictures, trimaps = directory / "images", directory / "annotations" / "trimaps"
    pairs = [(pictures / f"{name}.jpg", trimaps / f"{name}.png") for name in names]
    _require(pairs, directory)
    return _records(_shuffled(pairs, seed), _from_trimap, shape, clock)


def folder(
    images: Path, masks: Path, *, seed: int | None = None, shape: Shape = _FULL, clock: Clock = now_ms
) -> Iterator[Record]:
    """Pictures (jpg, jpeg, png) and masks (png) of the same stem; of full size they are sent as they are.

    seed: shuffles; None keeps the names' order. Raises PenstockError that names what has no counterpart.
    """
    found, wanted = _by_stem(images, PICTURES), _by_stem(masks, (".png",))
    if not found:
        raise PenstockError(f"{images} holds no pictures (jpg, jpeg, png)")
    for alone, kind, other in (
        (sorted(found.keys() - wanted.keys()), "mask", masks),
        (sorted(wanted.keys() - found.keys()), "picture", images),
    ):
        if alone:
            raise PenstockError(f"{len(alone)} without a {kind} of the same name in {other}; the first is {alone[0]}")
    pairs = [(found[stem], wanted[stem]) for stem in sorted(found)]
    return _records(_shuffled(pairs, seed), Path.read_bytes, shape, clock)


def _listing(directory: Path, split: str) -> list[str]:
    for needed in (directory / "images", directory / "annotations" / "trimaps"):
        if not needed.is_dir():
            raise PenstockError(
                f"{needed} is missing: unpack images.tar.gz and annotations.tar.gz of the Oxford-IIIT Pet "
                f"data set into {directory}"
            )
    file = directory / "annotations" / f"{split}.txt"
    try:
        return file.read_text().splitlines()
    except OSError as error:
        raise PenstockError(f"{file} is missing; splits are trainval and test") from error


def _require(pairs: list[tuple[Path, Path]], directory: Path) -> None:
    if not pairs:
        raise PenstockError(f"the list in {directory / 'annotations'} names no picture")
    missing = [path for pair in pairs for path in pair if not path.exists()]
    if missing:
        raise PenstockError(f"{len(missing)} listed files are missing in {directory}; the first is {missing[0]}")


def _by_stem(directory: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files by stem, without hidden ones (archives packed on a Mac hold `._name.png` beside each file)."""
    if not directory.is_dir():
        raise PenstockError(f"{directory} is not a folder")
    found: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in found:
                raise PenstockError(f"{found[path.stem]} and {path.name} have the same stem: which one is meant?")
            found[path.stem] = path
    return found


def _shuffled(pairs: list[tuple[Path, Path]], seed: int | None) -> list[tuple[Path, Path]]:
    return pairs if seed is None else Random(seed).sample(pairs, len(pairs))  # noqa: S311


def _records(
    pairs: list[tuple[Path, Path]], read_mask: Callable[[Path], bytes], shape: Shape, clock: Clock
) -> Iterator[Record]:
    for picture, mask in pairs:
        value = encode_record(
            shape, picture.read_bytes(), read_mask(mask), filename=picture.name, event_time_ms=clock()
        )
        yield Record(picture.name.encode(), value)


def _from_trimap(path: Path) -> bytes:
    trimap = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if trimap is None or trimap.ndim != 2:
        raise PenstockError(f"{path} is not a PNG with one channel")
    return encode_mask(np.asarray(trimap, np.uint8) - np.uint8(1))
