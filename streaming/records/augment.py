"""The default augmentation: half of the images are mirrored, the same half whenever they are read again."""

import cv2
import numpy as np

from streaming.arrays import Array

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def stateless_hash(seed: int, partition: Array, offset: Array) -> Array:
    """uint64[N], a function of (seed, partition, offset) alone.

    partition, offset: int64[N]. The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
    number generators, 2014) over the three numbers.
    """
    with np.errstate(over="ignore"):
        state = np.full(offset.shape, seed, np.uint64)
        for number in (partition, offset):
            state = (state ^ number.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * _MIX[0]
            state = (state ^ (state >> np.uint64(27))) * _MIX[1]
            state ^= state >> np.uint64(31)
    return state


def flip_half(images: Array, masks: Array, chance: Array) -> None:
    """Mirror in place the rows whose `chance` (uint64[N]) is odd.

    images: uint8[N, H, W, 3]; masks: uint8[N, H, W] or labels.
    """
    for row in np.flatnonzero(chance & np.uint64(1)):
        cv2.flip(images[row], 1, dst=images[row])
        if masks.ndim == 3:
            cv2.flip(masks[row], 1, dst=masks[row])
