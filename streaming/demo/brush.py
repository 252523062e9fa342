"""Draws an animal's parts in its own coordinates, onto its coat and its silhouette at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""
Point = tuple[float, float]

_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 28)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 28)[:-1])], axis=1)
_SHIFT = 3  # cv2 takes fixed-point coordinates with so many fractional bits


class Placement(NamedTuple):
    """Where an animal's unit square lands: centre and scale in pixels, turn in radians, mirrored or not."""

    x: float
    y: float
    scale: float
    turn: float
    mirrored: bool


class Brush:
    """Everything drawn lands on `coat`; what belongs to the silhouette also on `silhouette`.

    coat: uint8[H, W, 3], meaningful under the silhouette only. silhouette: uint8[H, W], 0 or 255.
    """

    def __init__(self, height: int, width: int, placement: Placement) -> None:
        self.coat: NDArray[np.uint8] = np.zeros((height, width, 3), np.uint8)
        self.silhouette: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        cos, sin = math.cos(placement.turn) * placement.scale, math.sin(placement.turn) * placement.scale
        mirror = -1 if placement.mirrored else 1
        self._matrix = np.array([[cos * mirror, sin * mirror], [-sin, cos]])
        self._origin = np.array([placement.x, placement.y])
        self._scale = placement.scale

    def blob(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0, body: bool = True
    ) -> None:
        """An ellipse around (x, y), its axes turned. body: part of the silhouette."""
        cos, sin = math.cos(turn), math.sin(turn)
        turned = _CIRCLE * (rx, ry) @ np.array([[cos, sin], [-sin, cos]])
        self._fill(turned + np.array((x, y)), colour, body)

    def shape(self, points: Sequence[Point], colour: Colour, body: bool = True) -> None:
        self._fill(np.array(points), colour, body)

    def limb(self, points: Sequence[Point], thickness: float, colour: Colour, body: bool = True) -> None:
        """A round-ended stroke through `points`."""
        path = [self._pixels(_smooth(np.array(points)))]
        pixels = max(1, round(thickness * self._scale))
        if body:
            cv2.polylines(self.silhouette, path, False, 255, pixels, shift=_SHIFT)
            cv2.polylines(self.coat, path, False, darker(colour, 0.72), pixels, shift=_SHIFT)
            pixels = max(1, pixels - round(0.03 * self._scale))
        cv2.polylines(self.coat, path, False, colour, pixels, shift=_SHIFT)

    def line(self, points: Sequence[Point], thickness: float, colour: Colour) -> None:
        """A stroke that isn't part of the silhouette."""
        self.limb(points, thickness, colour, body=False)

    def _fill(self, points: NDArray[np.float64], colour: Colour, body: bool) -> None:
        pixels = [self._pixels(points)]
        cv2.fillPoly(self.coat, pixels, colour, shift=_SHIFT)
        if body:
            cv2.fillPoly(self.silhouette, pixels, 255, shift=_SHIFT)
            cv2.polylines(self.coat, pixels, True, darker(colour, 0.72), max(1, round(self._scale / 60)), shift=_SHIFT)

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        pixels = points @ self._matrix.T + self._origin
        return np.asarray(np.rint(pixels * (1 << _SHIFT)), np.int32)


def darker(colour: Colour, factor: float) -> Colour:
    """The colour times `factor`; above 1 it is lighter."""
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chaikin's corner cutting, twice; the ends stay."""
    for _ in range(2 if len(points) > 2 else 0):
        cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], axis=1)
        points = np.concatenate([points[:1], cut.reshape(-1, 2), points[-1:]])
    return points
