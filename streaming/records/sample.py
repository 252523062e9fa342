"""What a parser makes of one record: a sample, or the reason why there is none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture with what the model should say about it.

    image: encoded JPEG or PNG, or uint8[H, W, 3]. target: encoded PNG of class ids, uint8[H, W], or a class number.
    event_time_ms: when the picture was taken, Unix time in milliseconds.
    """

    image: bytes | NDArray[np.uint8]
    target: bytes | NDArray[np.uint8] | int
    event_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that can't be used. reason: a stable slug, a metric's label; detail: one line for a person."""

    reason: str
    detail: str
