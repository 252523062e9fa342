"""Drawn photographs of pets with trimaps, the same for the same seed and index on every machine."""

from functools import cache
from random import Random
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from streaming.demo.animals import draw_animal
from streaming.demo.brush import Brush, Placement
from streaming.demo.scenery import draw_light, draw_scenery

PET, BACKGROUND, BORDER = 0, 1, 2
JPEG_QUALITY = 90
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
_TURN = 0.22  # radians
_BORDER = 15.5 / 375  # of the height


class Pet(NamedTuple):
    """image: uint8[H, W, 3], RGB. trimap: uint8[H, W], 0 pet, 1 background, 2 border. species: 0 cat, 1 dog."""

    image: NDArray[np.uint8]
    trimap: NDArray[np.uint8]
    species: int


def draw_pet(seed: int, index: int, width: int = 500, height: int = 375, species: int | None = None) -> Pet:
    """Draw one pet; species None: by chance. Takes 3 to 4 ms at 500 x 375."""
    random = Random(f"{seed}/{index}")  # noqa: S311  # a string is hashed with SHA-512: the same everywhere
    kind = random.randrange(2)
    kind = kind if species is None else species
    brush = Brush(height, width, _placement(width, height, random))
    draw_animal(brush, kind, random)
    image = draw_scenery(height, width, random)
    cv2.multiply(brush.coat, _crop(_fur(), height, width, random), dst=brush.coat, scale=1 / 128)
    cv2.copyTo(brush.coat, brush.silhouette, image)
    cv2.multiply(image, draw_light(brush.silhouette, random), dst=image, scale=1 / 128)
    cv2.addWeighted(image, 1, _crop(_grain(), height, width, random), 1, -128, dst=image)
    return Pet(image, _trimap(brush.silhouette), kind)


def encode_pet(pet: Pet) -> tuple[bytes, bytes]:
    """The picture as JPEG, the trimap as PNG."""
    jpeg = simplejpeg.encode_jpeg(
        pet.image, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420", fastdct=True
    )
    return jpeg, encode_mask(pet.trimap)


def encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """uint8[H, W] class ids as PNG."""
    return bytes(cv2.imencode(".png", mask, _PNG)[1])


def contact_sheet(seed: int, rows: int, columns: int, width: int = 250, height: int = 188) -> NDArray[np.uint8]:
    """uint8[rows * height, 2 * columns * width, 3]: pictures, each beside its trimap in colours."""
    palette = np.array([(244, 162, 58), (32, 58, 84), (250, 244, 226)], np.uint8)
    pets = (draw_pet(seed, index) for index in range(rows * columns))
    cells = [
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        for pet in pets
        for picture in (pet.image, palette[pet.trimap])
    ]
    lines = [np.concatenate(cells[at : at + 2 * columns], axis=1) for at in range(0, len(cells), 2 * columns)]
    return np.concatenate(lines, axis=0)


def _placement(width: int, height: int, random: Random) -> Placement:
    scale = height * random.uniform(0.33, 0.54)
    x = width * random.uniform(0.36, 0.64)
    y = height * random.uniform(0.44, 0.58)
    return Placement(x, y, scale, random.uniform(-_TURN, _TURN), random.random() < 0.5)


def _trimap(silhouette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    _, trimap = cv2.threshold(silhouette, 0, BACKGROUND, cv2.THRESH_BINARY_INV)
    outlines, _ = cv2.findContours(silhouette, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(trimap, outlines, -1, BORDER, max(1, round(_BORDER * len(silhouette))))
    return np.asarray(trimap, np.uint8)


def _texture(seed: int, sigmas: tuple[float, float], coarse: float, fine: float) -> NDArray[np.uint8]:
    """uint8[900, 1200, 3] around 128: fine grain over soft strokes of `sigmas`."""
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal((900, 1200)).astype(np.float32)
    strokes = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigmas[0], sigmaY=sigmas[1])
    grey = 128 + coarse * strokes / strokes.std() + fine * noise
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _crop(texture: NDArray[np.uint8], height: int, width: int, random: Random) -> NDArray[np.uint8]:
    rows, columns = texture.shape[:2]
    if height > rows or width > columns:
        texture = np.asarray(cv2.resize(texture, (max(columns, width), max(rows, height))), np.uint8)
        rows, columns = texture.shape[:2]
    top, left = random.randint(0, rows - height), random.randint(0, columns - width)
    return texture[top : top + height, left : left + width]


@cache
def _fur() -> NDArray[np.uint8]:
    return _texture(1, (1.2, 5.0), coarse=10, fine=4)


@cache
def _grain() -> NDArray[np.uint8]:
    return _texture(2, (1.5, 1.5), coarse=3, fine=2.5)
