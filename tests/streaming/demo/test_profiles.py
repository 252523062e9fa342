import cv2
import numpy as np
import pytest

from streaming.demo.pets import draw_pet, encode_pet
from streaming.demo.profiles import Profile, Shape, encode_record
from streaming.demo.sources import Record
from streaming.demo.synthetic import BROKEN, synthetic
from streaming.errors import PenstockError
from streaming.records import example
from streaming.records.example import parse_example
from streaming.records.native import decode_mask, picture_size
from streaming.records.sample import Sample

SIZE = 32
PET = draw_pet(0, 3, width=120, height=90)
JPEG, MASK = encode_pet(PET)
PICKED = cv2.resize(PET.trimap, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST_EXACT)


def made(profile: Profile) -> tuple[Sample, dict[str, object]]:
    """The sample, and what the record says of itself."""
    value = encode_record(Shape(profile, SIZE), JPEG, MASK, filename="a.jpg", event_time_ms=9)
    features = example._Example.FromString(value).features.feature
    told = {
        name: next(iter(feature.bytes_list.value or feature.int64_list.value))
        for name, feature in features.items()
        if not name.endswith("encoded")
    }
    sample = parse_example(value, b"")
    assert isinstance(sample, Sample)
    assert told[example.FILENAME] == b"a.jpg"
    assert sample.event_time_ms == 9
    return sample, told


def test_full_is_what_was_there() -> None:
    sample, told = made(Profile.FULL)
    assert (sample.image, sample.target) == (JPEG, MASK)
    assert (told[example.IMAGE_ENCODING], told[example.HEIGHT], told[example.WIDTH]) == (b"JPEG", 90, 120)
    assert example.MASK_HEIGHT not in told


def test_a_small_mask_is_the_nearest_pick_beside_the_picture_as_it_was() -> None:
    sample, told = made(Profile.SMALL_MASK)
    assert sample.image == JPEG
    assert isinstance(sample.target, bytes)
    assert (decode_mask(sample.target, 1 << 20) == PICKED).all()
    assert (told[example.HEIGHT], told[example.MASK_HEIGHT], told[example.MASK_WIDTH]) == (90, SIZE, SIZE)


def test_a_small_jpeg_has_the_models_size() -> None:
    sample, told = made(Profile.SMALL_JPEG)
    assert isinstance(sample.image, bytes)
    assert picture_size(sample.image) == (SIZE, SIZE) == (told[example.HEIGHT], told[example.WIDTH])


def test_raw_is_the_pixels() -> None:
    sample, told = made(Profile.RAW)
    area = cv2.resize(PET.image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert isinstance(sample.image, np.ndarray)
    assert np.abs(sample.image.astype(int) - area).mean() < 3
    assert (np.asarray(sample.target) == PICKED).all()
    assert told[example.IMAGE_ENCODING] == told[example.MASK_ENCODING] == b"raw"


@pytest.mark.parametrize("profile", list(Profile))
def test_every_profile_may_have_broken_records_among_it(profile: Profile) -> None:
    broken = [record.value for record in _broken(Shape(profile, SIZE))]
    assert broken == [record.value for record in _broken(Shape())]


def test_a_picture_that_cant_be_made_small_is_named() -> None:
    for profile in list(Profile)[1:]:
        with pytest.raises(PenstockError, match=r"a\.jpg: the .* can't be made small"):
            encode_record(Shape(profile), JPEG[:-500], MASK[:-500], filename="a.jpg", event_time_ms=0)


def test_a_picture_that_nobody_can_read_is_sent_as_it_is() -> None:
    sample = parse_example(encode_record(Shape(), b"GIF89a", MASK, filename="a.gif", event_time_ms=0), b"")
    assert isinstance(sample, Sample)
    assert sample.image == b"GIF89a"


def _broken(shape: Shape) -> list[Record]:
    return list(synthetic(1, 0, len(BROKEN), broken_every=1, shape=shape, clock=lambda: 0))
