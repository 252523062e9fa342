import cv2
import numpy as np
import pytest

from streaming.demo.pets import BACKGROUND, BORDER, PET, contact_sheet, draw_pet, encode_pet


def test_the_same_seed_and_index_draw_the_same_pet() -> None:
    first, again, other = draw_pet(5, 7), draw_pet(5, 7), draw_pet(5, 8)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.trimap, again.trimap)
    assert not np.array_equal(first.image, other.image)


def test_class_shares_are_those_of_the_real_data_set() -> None:
    trimaps = np.stack([draw_pet(1, index).trimap for index in range(60)])
    shares = np.bincount(trimaps.ravel(), minlength=3) / trimaps.size
    assert shares == pytest.approx([0.18, 0.71, 0.11], abs=0.03)


def test_every_picture_holds_all_three_classes() -> None:
    for index in range(30):
        assert set(np.unique(draw_pet(2, index).trimap)) == {PET, BACKGROUND, BORDER}


@pytest.mark.parametrize(("width", "height"), [(500, 375), (64, 64), (333, 501), (1600, 1200)])
def test_any_size_is_drawn(width: int, height: int) -> None:
    pet = draw_pet(3, 0, width=width, height=height)
    assert (pet.image.shape, pet.image.dtype) == ((height, width, 3), np.uint8)
    assert (pet.trimap.shape, pet.trimap.dtype) == ((height, width), np.uint8)


def test_a_species_that_is_asked_for_is_drawn_and_looks_different() -> None:
    cat, dog = draw_pet(4, 1, species=0), draw_pet(4, 1, species=1)
    assert (cat.species, dog.species) == (0, 1)
    assert not np.array_equal(cat.trimap, dog.trimap)


def test_both_species_come_by_chance() -> None:
    assert {draw_pet(6, index, width=64, height=48).species for index in range(20)} == {0, 1}


def test_the_encoded_trimap_is_exact_and_the_picture_close() -> None:
    pet = draw_pet(8, 0)
    jpeg, png = encode_pet(pet)
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), pet.trimap)
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - pet.image).mean() < 6
    assert 15_000 < len(jpeg) < 120_000


def test_a_contact_sheet_shows_each_picture_beside_its_trimap() -> None:
    assert contact_sheet(1, rows=2, columns=3, width=40, height=30).shape == (60, 240, 3)
