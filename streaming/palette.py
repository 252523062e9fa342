"""The colours in which people see classes: an index picture's palette."""

import colorsys
from functools import cache

import numpy as np

from streaming.arrays import Array

_FIRST = ((244, 162, 58), (32, 58, 84), (250, 244, 226), (38, 142, 140), (176, 67, 102), (126, 178, 88))
_GOLDEN = 0.618034  # of the circle of hues: neighbours differ, however many classes there are
IGNORED = 255
WRONG = (214, 69, 48)


@cache
def class_palette() -> Array:
    """uint8[256, 4], red, green, blue, alpha by class. 255, which is no class, is transparent."""
    hues = ((index * _GOLDEN) % 1.0 for index in range(len(_FIRST), IGNORED))
    more = [tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.55, 0.8)) for hue in hues]
    opaque = [(*colour, 255) for colour in (*_FIRST, *more)]
    return np.array([*opaque, (0, 0, 0, 0)], np.uint8)


@cache
def error_palette() -> Array:
    """uint8[2, 4]: right is transparent, wrong is red."""
    return np.array([(0, 0, 0, 0), (*WRONG, 255)], np.uint8)


def as_text(colour: Array) -> str:
    """`#rrggbb` of uint8[4]."""
    return "#" + colour[:3].tobytes().hex()
