from pathlib import Path

import cv2
import numpy as np
import pytest

from streaming.demo.pets import draw_pet, encode_pet
from streaming.demo.sources import folder, oxford_pet
from streaming.errors import PenstockError
from streaming.records.example import parse_example
from streaming.records.sample import Sample

NAMES = ("Abyssinian_1", "beagle_12", "Birman_3", "pug_101")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The original layout, hidden resource forks of a Mac included."""
    trimaps = tmp_path / "annotations" / "trimaps"
    trimaps.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    for index, name in enumerate(NAMES):
        pet = draw_pet(0, index, width=60, height=48)
        (tmp_path / "images" / f"{name}.jpg").write_bytes(encode_pet(pet)[0])
        (trimaps / f"{name}.png").write_bytes(cv2.imencode(".png", pet.trimap + 1)[1].tobytes())
        (trimaps / f"._{name}.png").write_bytes(b"resource fork")
    listed = "".join(f"{name} {n} 1 {n}\n" for n, name in enumerate(NAMES, start=1))
    (tmp_path / "annotations" / "trainval.txt").write_text(f"#Image CLASS-ID SPECIES BREED ID\n{listed}")
    return tmp_path


def test_the_archive_is_sent_in_the_order_of_its_list_with_classes_from_zero(archive: Path) -> None:
    records = list(oxford_pet(archive, clock=lambda: 1_700_000_000_000))
    assert [record.key.decode() for record in records] == [f"{name}.jpg" for name in NAMES]
    for index, record in enumerate(records):
        sample = _sample(record.value)
        assert np.array_equal(_mask(sample.target), draw_pet(0, index, width=60, height=48).trimap)
        assert sample.image == (archive / "images" / f"{NAMES[index]}.jpg").read_bytes()
        assert sample.event_time_ms == 1_700_000_000_000


def test_a_seed_shuffles_and_loses_nothing(archive: Path) -> None:
    shuffled = [record.key for record in oxford_pet(archive, seed=3)]
    assert shuffled == [record.key for record in oxford_pet(archive, seed=3)]
    assert shuffled != [record.key for record in oxford_pet(archive)]
    assert sorted(shuffled) == sorted(record.key for record in oxford_pet(archive))


@pytest.mark.parametrize("missing", ["images", "annotations/trimaps", "annotations/trainval.txt", "images/pug_101.jpg"])
def test_what_the_archive_lacks_is_named_before_anything_is_sent(archive: Path, missing: str) -> None:
    (archive / missing).rename(archive / "elsewhere")
    with pytest.raises(PenstockError, match=missing):
        oxford_pet(archive)


def test_an_unknown_split_says_which_there_are(archive: Path) -> None:
    with pytest.raises(PenstockError, match="splits are trainval and test"):
        oxford_pet(archive, split="validation")


def test_folders_are_paired_by_stem_and_sent_as_they_are(tmp_path: Path) -> None:
    images, masks = _folders(tmp_path, pictures=("b.JPG", "a.png", "c.jpeg"), masks=("a.png", "b.png", "c.png"))
    (images / "._a.png").write_bytes(b"resource fork")
    (images / "notes.txt").write_bytes(b"not a picture")
    records = list(folder(images, masks))
    assert [record.key for record in records] == [b"a.png", b"b.JPG", b"c.jpeg"]
    for record in records:
        sample = _sample(record.value)
        assert sample.image == record.key
        assert sample.target == f"mask {record.key.decode().split('.')[0]}.png".encode()


@pytest.mark.parametrize(
    ("pictures", "masks", "words"),
    [
        (("a.jpg", "b.jpg"), ("b.png",), "1 without a mask.*the first is a"),
        (("a.jpg",), ("a.png", "x.png", "y.png"), "2 without a picture.*the first is x"),
        (("a.jpg", "a.png"), ("a.png",), "same stem"),
        ((), ("a.png",), "no pictures"),
    ],
)
def test_folders_that_do_not_pair_are_refused_by_name(
    tmp_path: Path, pictures: tuple[str, ...], masks: tuple[str, ...], words: str
) -> None:
    with pytest.raises(PenstockError, match=words):
        folder(*_folders(tmp_path, pictures, masks))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PenstockError, match="nowhere is not a folder"):
        folder(tmp_path / "nowhere", tmp_path)


def _folders(root: Path, pictures: tuple[str, ...], masks: tuple[str, ...]) -> tuple[Path, Path]:
    images, targets = root / "pictures", root / "masks"
    images.mkdir()
    targets.mkdir()
    for name in pictures:
        (images / name).write_bytes(name.encode())
    for name in masks:
        (targets / name).write_bytes(f"mask {name}".encode())
    return images, targets


def _sample(value: bytes | None) -> Sample:
    parsed = parse_example(value or b"", b"")
    assert isinstance(parsed, Sample)
    return parsed


def _mask(encoded: object) -> np.ndarray:
    assert isinstance(encoded, bytes)
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
