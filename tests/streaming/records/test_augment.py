"""Which pictures are mirrored depends on the record alone."""

import numpy as np

from streaming.records.augment import flip_half, stateless_hash

OFFSETS = np.arange(10_000)
ZEROS = np.zeros_like(OFFSETS)


def test_the_draw_of_a_record_does_not_depend_on_its_batch() -> None:
    whole = stateless_hash(3, ZEROS + 1, OFFSETS)
    order = np.random.default_rng(0).permutation(len(OFFSETS))[:50]
    assert (stateless_hash(3, ZEROS[order] + 1, OFFSETS[order]) == whole[order]).all()
    assert stateless_hash(3, np.array([1]), np.array([77]))[0] == whole[77]


def test_the_draw_is_the_same_in_every_release() -> None:
    drawn = stateless_hash(7, np.array([0, 1, 1]), np.array([0, 0, 2**40]))
    assert drawn.tolist() == [13309476754707697221, 13103443362824980401, 2753270847639313937]


def test_seed_partition_and_offset_all_matter() -> None:
    base = stateless_hash(0, ZEROS, OFFSETS)
    for other in (stateless_hash(1, ZEROS, OFFSETS), stateless_hash(0, ZEROS + 1, OFFSETS)):
        assert abs(((base ^ other) & np.uint64(1)).mean() - 0.5) < 0.02
    assert len(np.unique(base)) == len(OFFSETS)


def test_about_half_is_mirrored() -> None:
    assert abs((stateless_hash(0, ZEROS, OFFSETS) & np.uint64(1)).mean() - 0.5) < 0.02


def test_the_mask_follows_its_picture() -> None:
    images = np.random.default_rng(0).integers(0, 255, (6, 5, 7, 3)).astype(np.uint8)
    masks = images[..., 0].copy()
    before, chance = images.copy(), np.array([0, 1, 2, 3, 5, 2**64 - 1], np.uint64)
    flip_half(images, masks, chance)
    for row, odd in enumerate([False, True, False, True, True, True]):
        assert (images[row] == (before[row][:, ::-1] if odd else before[row])).all()
    assert (masks == images[..., 0]).all()


def test_a_label_stays_as_it_is() -> None:
    images, labels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), np.array([2])
    flip_half(images, labels, np.array([1], np.uint64))
    assert images[0, 0].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert labels.tolist() == [2]
