"""What stands behind a pet, and the light on both."""

from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.demo.brush import Colour

Image = NDArray[np.uint8]


def draw_scenery(height: int, width: int, random: Random) -> Image:
    """uint8[height, width, 3]: a room, a meadow, blurred lights or a pattern, with things that distract.

    Drawn at half the resolution: four times cheaper, and as soft as what is out of focus.
    """
    canvas = _clouds(height // 2, width // 2, random, contrast=random.uniform(8, 34))
    random.choice((_room, _room, _meadow, _meadow, _lights, _pattern))(canvas, random)
    for _ in range(random.randint(2, 7)):
        _thing(canvas, random)
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_light(silhouette: Image, random: Random) -> Image:
    """uint8[H, W, 3], 128 = unchanged: brightness, tint, a slope of light, vignette, cast shadow, a plush body."""
    height, width = silhouette.shape
    small = cv2.resize(silhouette, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    rows, columns = small.shape
    y, x = np.linspace(-1, 1, rows, dtype=np.float32)[:, None], np.linspace(-1, 1, columns, dtype=np.float32)[None]
    light = random.uniform(0.85, 1.3) * (1 + random.uniform(-0.22, 0.22) * x + random.uniform(-0.22, 0.22) * y)
    light *= 1 - random.uniform(0, 0.22) * (x * x + y * y)
    body = small.astype(np.float32) / 255
    shift = np.array([[1, 0, random.uniform(-7, 7)], [0, 1, random.uniform(1, 6)]], np.float32)
    shadow = cv2.blur(cv2.warpAffine(body, shift, (columns, rows)), (5, 5))
    light *= 1 - random.uniform(0.1, 0.45) * shadow * (1 - body)
    light *= 1 - 0.3 * body * (1 - cv2.blur(body, (7, 7)))
    tint = np.array([random.uniform(0.9, 1.1), 1, random.uniform(0.88, 1.1)], np.float32)
    lit = np.clip(light[..., None] * (128 * tint), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(lit, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _clouds(height: int, width: int, random: Random, contrast: float) -> Image:
    """A base colour with soft unevenness."""
    rows, columns = random.choice(((3, 4), (6, 8), (12, 16)))
    noise = np.random.Generator(np.random.PCG64(random.getrandbits(32))).standard_normal((rows, columns, 1))
    grey = noise * contrast + np.array(_colour(random))
    small = np.clip(grey, 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _room(canvas: Image, random: Random) -> None:
    height, width = canvas.shape[:2]
    floor, colour = round(height * random.uniform(0.5, 0.85)), _colour(random)
    cv2.rectangle(canvas, (0, floor), (width, height), colour, -1)
    if random.random() < 0.6:
        for n in range(1, 9):
            far, near = width * n // 9, round((n / 9 - 0.5) * width * 2.2 + width / 2)
            cv2.line(canvas, (far, floor), (near, height), _shade(colour, 0.82), 1)
    cv2.rectangle(canvas, (0, floor - 3), (width, floor), _shade(colour, 1.3), -1)
    for _ in range(random.randint(0, 2)):
        x, y, w, h = random.randrange(width), random.randrange(floor), random.randint(25, 70), random.randint(25, 60)
        cv2.rectangle(canvas, (x, y - h), (x + w, y), _colour(random), -1)
        cv2.rectangle(canvas, (x, y - h), (x + w, y), _colour(random), 3)
    if random.random() < 0.6:
        centre = (random.randrange(width), random.randint(floor, height))
        cv2.ellipse(canvas, centre, (random.randint(50, 120), random.randint(12, 30)), 0, 0, 360, _colour(random), -1)


def _meadow(canvas: Image, random: Random) -> None:
    height, width = canvas.shape[:2]
    horizon = round(height * random.uniform(0.25, 0.7))
    green: Colour = (random.uniform(60, 150), random.uniform(110, 180), random.uniform(40, 100))
    if random.random() < 0.7:
        canvas[:horizon, :, 2] = np.maximum(canvas[:horizon, :, 2], 170)
    for _ in range(random.randint(1, 4)):
        centre = (random.randrange(width), horizon + random.randint(10, 40))
        cv2.ellipse(
            canvas, centre, (random.randint(60, 140), random.randint(30, 70)), 0, 180, 360, _shade(green, 0.8), -1
        )
    cv2.rectangle(canvas, (0, horizon), (width, height), green, -1)
    for _ in range(40):
        x, y = random.randrange(width), random.randint(horizon, height)
        blade = (x + random.randint(-4, 4), y - random.randint(4, 14))
        cv2.line(canvas, (x, y), blade, _shade(green, random.uniform(0.65, 1.35)), 1 + (y > height * 0.8))
    for _ in range(random.randint(0, 3)):
        x, r = random.randrange(width), random.randint(12, 36)
        cv2.line(canvas, (x, horizon + 8), (x, horizon - r), (96, 70, 48), max(3, r // 5))
        cv2.circle(canvas, (x, horizon - r - r // 2), r, _shade(green, random.uniform(0.55, 0.9)), -1)


def _lights(canvas: Image, random: Random) -> None:
    height, width = canvas.shape[:2]
    for _ in range(random.randint(6, 16)):
        centre = (random.randrange(width), random.randrange(height))
        cv2.circle(canvas, centre, random.randint(6, 34), _colour(random), -1, cv2.LINE_AA)
    cv2.blur(canvas, (9, 9), dst=canvas)


def _pattern(canvas: Image, random: Random) -> None:
    height, width = canvas.shape[:2]
    colour, step, slope = _colour(random), random.randint(10, 34), random.choice((0, 0, 20, -40))
    for x in range(-60, width + 60, step):
        cv2.line(canvas, (x, 0), (x + slope, height), colour, random.choice((1, 2, step // 2)))
    if random.random() < 0.6:
        for y in range(0, height, step):
            cv2.line(canvas, (0, y), (width, y), _shade(colour, 0.85), max(1, step // 5))


def _thing(canvas: Image, random: Random) -> None:
    """A ball, a cushion, a box, a cone or a cable: some in the colours and with the corners of a pet."""
    height, width = canvas.shape[:2]
    x, y, r, colour = random.randrange(width), random.randrange(height), random.randint(8, 34), _colour(random)
    kind = random.randrange(5)
    if kind == 0:
        cv2.circle(canvas, (x, y), r, colour, -1)
        cv2.circle(canvas, (x - r // 3, y - r // 3), max(1, r // 5), _shade(colour, 1.4), -1)
    elif kind == 1:
        cv2.ellipse(canvas, (x, y), (r, max(4, r // 2)), random.randrange(180), 0, 360, colour, -1)
    elif kind == 2:
        cv2.rectangle(canvas, (x - r, y - r // 2), (x + r, y + r // 2), colour, -1)
        cv2.rectangle(canvas, (x - r, y - r // 2), (x + r, y + r // 2), _shade(colour, 0.7), 1)
    elif kind == 3:
        corners = [(x + random.randint(-r, r), y + random.randint(-r, r)) for _ in range(3)]
        cv2.fillPoly(canvas, [np.array(corners, np.int32)], colour)
    else:
        path = [(x + random.randint(-60, 60), y + random.randint(-30, 30)) for _ in range(5)]
        cv2.polylines(canvas, [np.array(path, np.int32)], False, colour, random.randint(2, 7))


def _colour(random: Random) -> Colour:
    """Any colour; half of them dull or furry."""
    if random.random() < 0.5:
        level = random.uniform(50, 225)
        return (level, level * random.uniform(0.7, 1), level * random.uniform(0.45, 0.95))
    return (random.uniform(30, 240), random.uniform(30, 240), random.uniform(30, 240))


def _shade(colour: Colour, factor: float) -> Colour:
    return (min(colour[0] * factor, 255), min(colour[1] * factor, 255), min(colour[2] * factor, 255))
