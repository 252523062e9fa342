"""A cat or a dog, sitting, standing, lying or as a portrait, drawn with a brush."""

from dataclasses import dataclass
from random import Random

from streaming.demo.brush import Brush, Colour, darker

CAT, DOG = 0, 1
_PINK: Colour = (232, 150, 150)
_BLACK: Colour = (28, 24, 26)
_WHITE: Colour = (246, 244, 238)
_COATS: tuple[Colour, ...] = (
    (214, 136, 62),
    (148, 148, 154),
    (64, 58, 58),
    (232, 224, 208),
    (140, 100, 68),
    (206, 172, 122),
    (172, 96, 52),
    (112, 118, 130),
    (226, 190, 132),
    (96, 72, 56),
)
_EYES: tuple[Colour, ...] = ((132, 190, 84), (224, 186, 60), (110, 176, 206), (190, 140, 60))


@dataclass(frozen=True, slots=True)
class Looks:
    """What stays the same over all parts of one animal."""

    species: int
    coat: Colour
    second: Colour
    eyes: Colour
    striped: bool
    spotted: bool
    bib: bool
    collar: Colour | None


def draw_animal(brush: Brush, species: int, random: Random) -> None:
    """One animal inside the unit square [-1, 1] x [-1, 1], y downwards, the pose by chance."""
    coat = _varied(random.choice(_COATS), random)
    looks = Looks(
        species,
        coat,
        second=_varied(random.choice((_WHITE, darker(coat, 0.6), darker(coat, 1.35))), random),
        eyes=random.choice(_EYES),
        striped=random.random() < (0.5 if species == CAT else 0.08),
        spotted=random.random() < (0.15 if species == CAT else 0.4),
        bib=random.random() < 0.5,
        collar=(random.random() * 255, random.random() * 200, random.random() * 255) if random.random() < 0.4 else None,
    )
    random.choice((_sitting, _sitting, _standing, _standing, _lying, _portrait))(brush, looks, random)


def _sitting(brush: Brush, looks: Looks, random: Random) -> None:
    lean, stout = random.uniform(-0.08, 0.08), random.uniform(0.9, 1.15)
    _tail(brush, looks, random, (0.25, 0.8), side=random.choice((-1, 1)))
    for side in (-1, 1):
        brush.blob(side * 0.36 * stout, 0.7, 0.26, 0.27, darker(looks.coat, 0.92))
    brush.blob(0, 0.38, 0.4 * stout, 0.58, looks.coat)
    _markings(brush, looks, random, 0, 0.38, 0.4 * stout, 0.5)
    if looks.bib:
        brush.blob(lean / 2, 0.2, 0.2, 0.36, looks.second, body=False)
    for side in (-1, 1):
        foot = side * random.uniform(0.14, 0.24)
        brush.limb([(side * 0.17, 0.35), (foot, 0.9)], 0.19, looks.coat)
        brush.blob(foot, 0.93, 0.14, 0.08, looks.second if looks.bib else looks.coat)
    _collar(brush, looks, lean, -0.1, 0.3)
    _face(brush, looks, random, lean * 2, -0.45, random.uniform(0.36, 0.44))


def _standing(brush: Brush, looks: Looks, random: Random) -> None:
    cat = looks.species == CAT
    thick, long, belly = (0.15, 0.7, 0.28) if cat else (0.18, 0.68, 0.32)
    stride = random.uniform(-0.15, 0.15)
    for x, step in ((-0.42, stride), (0.4, -stride)):
        brush.limb([(x, 0.1), (x + step, 0.45), (x + step * 1.3, 0.8)], thick, darker(looks.coat, 0.75))
    _tail(brush, looks, random, (-0.62, -0.1), side=-1)
    brush.blob(-0.08, 0.02, long, belly * random.uniform(0.9, 1.15), looks.coat)
    brush.blob(0.4, 0, 0.3, belly * 1.1, looks.coat, body=True)
    brush.blob(0.1, 0, 0.5, belly * 0.9, looks.coat, body=False)
    _markings(brush, looks, random, -0.05, 0, long * 0.8, belly * 0.8)
    if looks.bib:
        brush.blob(0.05, 0.2, 0.5, 0.1, looks.second, body=False)
    for x, step in ((-0.56, -stride), (0.52, stride)):
        brush.limb([(x, 0.1), (x + step, 0.45), (x + step * 1.3, 0.82)], thick * 1.1, looks.coat)
        brush.blob(x + step * 1.3 + 0.04, 0.84, 0.12, 0.07, looks.second if looks.bib else looks.coat)
    brush.limb([(0.45, -0.05), (0.66, -0.38)], 0.34, looks.coat)
    _collar(brush, looks, 0.6, -0.25, 0.2)
    draw_head = _profile if random.random() < 0.5 else _face
    draw_head(brush, looks, random, 0.72, -0.52 + random.uniform(-0.08, 0.12), random.uniform(0.28, 0.33))


def _lying(brush: Brush, looks: Looks, random: Random) -> None:
    _tail(brush, looks, random, (-0.72, 0.4), side=-1)
    brush.blob(0, 0.3, 0.82, 0.34, looks.coat, turn=random.uniform(-0.08, 0.08))
    _markings(brush, looks, random, -0.1, 0.25, 0.6, 0.28)
    brush.blob(-0.48, 0.36, 0.34, 0.3, darker(looks.coat, 0.95))
    for y in (0.5, 0.62):
        brush.limb([(0.3, y - 0.08), (0.6, y), (random.uniform(0.8, 1.0), y)], 0.15, looks.coat)
    if looks.bib:
        brush.blob(0.45, 0.3, 0.2, 0.2, looks.second, body=False)
    _collar(brush, looks, 0.45, 0.12, 0.26)
    head = random.uniform(0.36, 0.42)
    _face(brush, looks, random, 0.45 + random.uniform(-0.1, 0.1), -0.12, head)


def _portrait(brush: Brush, looks: Looks, random: Random) -> None:
    brush.blob(random.uniform(-0.15, 0.15), 1.05, 0.72, 0.72, looks.coat)
    _markings(brush, looks, random, 0, 0.9, 0.55, 0.3)
    if looks.bib:
        brush.blob(0, 1.0, 0.3, 0.5, looks.second, body=False)
    _collar(brush, looks, 0, 0.45, 0.42)
    _face(brush, looks, random, 0, -0.12, random.uniform(0.52, 0.6))


def _tail(brush: Brush, looks: Looks, random: Random, root: tuple[float, float], side: int) -> None:
    (x, y), swing = root, random.uniform(0.6, 1.1)
    x *= side if x > 0 else 1
    if looks.species == CAT:
        path = [(0.0, 0.0), (0.3, -0.05), (0.42 * swing, -0.45), (0.25 * swing, -0.8), (0.4 * swing, -0.95)]
        brush.limb([(x + side * dx, y + dy * swing) for dx, dy in path], 0.12, looks.coat)
        tip = [(x + side * dx, y + dy * swing) for dx, dy in path[-2:]]
        brush.line(tip, 0.1, looks.second)
    else:
        path = [(0.0, 0.0), (0.25, -0.2), (0.34 * swing, -0.5)]
        brush.limb([(x + side * dx, y + dy * swing) for dx, dy in path], 0.17, looks.coat)


def _markings(brush: Brush, looks: Looks, random: Random, x: float, y: float, rx: float, ry: float) -> None:
    if looks.striped:
        dark = darker(looks.coat, 0.6)
        for n in range(6):
            at = x + rx * (n - 2.5) / 3
            brush.line([(at, y - ry * 1.2), (at + 0.06, y - ry * 0.5), (at - 0.02, y)], 0.05, dark)
    if looks.spotted:
        for _ in range(random.randint(2, 5)):
            spot_x, spot_y = x + random.uniform(-rx, rx), y + random.uniform(-ry, ry)
            brush.blob(spot_x, spot_y, random.uniform(0.08, 0.24), random.uniform(0.07, 0.18), looks.second, body=False)


def _collar(brush: Brush, looks: Looks, x: float, y: float, half_width: float) -> None:
    if looks.collar:
        brush.line([(x - half_width, y), (x, y + 0.07), (x + half_width, y)], 0.08, looks.collar)
        brush.blob(x, y + 0.1, 0.05, 0.05, (236, 204, 90), body=False)


def _face(brush: Brush, looks: Looks, random: Random, x: float, y: float, r: float) -> None:
    (_cat_face if looks.species == CAT else _dog_face)(brush, looks, random, x, y, r)


def _cat_face(brush: Brush, looks: Looks, random: Random, x: float, y: float, r: float) -> None:
    tip = random.uniform(1.3, 1.6)
    for side in (-1, 1):
        ear = ((-0.98, -0.2), (-0.86, -tip), (-0.12, -0.8))
        brush.shape([(x - side * dx * r, y + dy * r) for dx, dy in ear], looks.coat)
        inner = ((-0.84, -0.45), (-0.8, -tip + 0.25), (-0.34, -0.75))
        brush.shape([(x - side * dx * r, y + dy * r) for dx, dy in inner], _PINK, body=False)
    brush.blob(x, y, 1.08 * r, 0.92 * r, looks.coat)
    if looks.striped:
        for n in (-0.25, 0, 0.25):
            brush.line([(x + n * r, y - 0.85 * r), (x + n * 0.8 * r, y - 0.45 * r)], 0.11 * r, darker(looks.coat, 0.6))
    light = looks.second if looks.bib else darker(looks.coat, 1.2)
    pupil = random.uniform(0.05, 0.13)
    for side in (-1, 1):
        brush.blob(x + side * 0.2 * r, y + 0.42 * r, 0.3 * r, 0.24 * r, light, body=False)
        _eye(brush, x + side * 0.45 * r, y - 0.08 * r, 0.21 * r, looks.eyes, pupil * r)
    brush.shape([(x - 0.11 * r, y + 0.2 * r), (x + 0.11 * r, y + 0.2 * r), (x, y + 0.34 * r)], _PINK, body=False)
    for side in (-1, 1):
        brush.line(
            [(x, y + 0.34 * r), (x + side * 0.06 * r, y + 0.48 * r), (x + side * 0.2 * r, y + 0.48 * r)],
            0.04 * r,
            _BLACK,
        )
        for slope in (0.32, 0.5):
            brush.line([(x + side * 0.35 * r, y + 0.42 * r), (x + side * 1.25 * r, y + slope * r)], 0.01, _WHITE)


def _dog_face(brush: Brush, looks: Looks, random: Random, x: float, y: float, r: float) -> None:
    ear_colour = looks.second if looks.spotted else darker(looks.coat, 0.72)
    droop = random.uniform(0.05, 0.3)
    brush.blob(x, y - 0.05 * r, 0.88 * r, 0.95 * r, looks.coat)
    for side in (-1, 1):
        brush.blob(x + side * 0.92 * r, y + 0.12 * r, 0.3 * r, 0.78 * r, ear_colour, turn=-side * droop)
    if looks.bib:
        brush.blob(x, y - 0.3 * r, 0.16 * r, 0.6 * r, looks.second, body=False)
    if looks.spotted:
        brush.blob(x + 0.4 * r, y - 0.18 * r, 0.3 * r, 0.34 * r, ear_colour, body=False)
    if random.random() < 0.4:
        brush.blob(x + 0.05 * r, y + 0.98 * r, 0.17 * r, 0.26 * r, (224, 104, 116))
    brush.blob(x, y + 0.5 * r, 0.52 * r, 0.46 * r, looks.second if looks.bib else darker(looks.coat, 1.2))
    for side in (-1, 1):
        _eye(brush, x + side * 0.38 * r, y - 0.2 * r, 0.15 * r, (92, 60, 36), 0.1 * r)
        brush.line([(x, y + 0.4 * r), (x, y + 0.62 * r), (x + side * 0.26 * r, y + 0.7 * r)], 0.05 * r, _BLACK)
    brush.blob(x, y + 0.3 * r, 0.23 * r, 0.16 * r, _BLACK, body=False)
    brush.blob(x - 0.06 * r, y + 0.25 * r, 0.06 * r, 0.04 * r, (150, 150, 156), body=False)


def _profile(brush: Brush, looks: Looks, random: Random, x: float, y: float, r: float) -> None:
    """The head from the side, looking to the right."""
    light = looks.second if looks.bib else darker(looks.coat, 1.15)
    if looks.species == CAT:
        for dx in (-0.1, 0.3):
            ear = [(x + (dx - 0.45) * r, y - 0.6 * r), (x + dx * r, y - 1.55 * r), (x + (dx + 0.4) * r, y - 0.6 * r)]
            brush.shape(ear, darker(looks.coat, 0.85 + dx / 2))
        brush.blob(x, y, r, 0.9 * r, looks.coat)
        brush.blob(x + 0.7 * r, y + 0.3 * r, 0.42 * r, 0.34 * r, light)
        brush.blob(x + 1.05 * r, y + 0.16 * r, 0.1 * r, 0.09 * r, _PINK, body=False)
        _eye(brush, x + 0.42 * r, y - 0.12 * r, 0.19 * r, looks.eyes, 0.07 * r)
        for slope in (0.3, 0.55):
            brush.line([(x + 0.8 * r, y + 0.35 * r), (x + 0.1 * r, y + slope * r)], 0.01, _WHITE)
    else:
        brush.blob(x, y, 0.9 * r, 0.85 * r, looks.coat)
        snout = random.uniform(1.1, 1.45)
        brush.limb([(x + 0.4 * r, y + 0.22 * r), (x + snout * r, y + 0.32 * r)], 0.62 * r, light)
        brush.blob(x + (snout + 0.24) * r, y + 0.12 * r, 0.18 * r, 0.15 * r, _BLACK)
        brush.line([(x + (snout + 0.2) * r, y + 0.45 * r), (x + 0.5 * r, y + 0.5 * r)], 0.05 * r, _BLACK)
        brush.blob(x - 0.42 * r, y + 0.2 * r, 0.32 * r, 0.72 * r, darker(looks.coat, 0.7), turn=random.uniform(0, 0.4))
        _eye(brush, x + 0.35 * r, y - 0.2 * r, 0.15 * r, (92, 60, 36), 0.1 * r)


def _eye(brush: Brush, x: float, y: float, r: float, iris: Colour, pupil: float) -> None:
    brush.blob(x, y, r * 1.12, r * 1.12, _BLACK, body=False)
    brush.blob(x, y, r, r, iris, body=False)
    brush.blob(x, y, pupil, r * 0.85, _BLACK, body=False)
    brush.blob(x - 0.3 * r, y - 0.35 * r, 0.26 * r, 0.26 * r, _WHITE, body=False)


def _varied(colour: Colour, random: Random) -> Colour:
    light = random.uniform(0.8, 1.15)
    return darker((colour[0] + random.uniform(-14, 14), colour[1] + random.uniform(-14, 14), colour[2]), light)
