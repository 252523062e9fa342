"""What the model makes of the newest pictures, for people to look at: rarely, few, small."""

import base64
import time
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from pydantic import BaseModel

from streaming.arrays import Array
from streaming.control.messages import Picture, Pictures
from streaming.palette import IGNORED, as_text, class_palette, error_palette
from streaming.records.batch import Batch
from streaming.records.png import as_palette_png
from streaming.training.evaluation import Scored

EVERY_S = 5.0
LARGEST = 160  # pixels a side
REST = 100  # times as long as it took nothing is shown: at most 1 % of the worker's time, however slow the machine


class Showing:
    """Takes pictures from a batch that was just scored, so that predicting costs nothing. Belongs to the main thread.

    send: takes a message; clock: any steady one, seconds.
    """

    def __init__(self, send: Callable[[BaseModel], None], classes: int, clock: Callable[[], float]) -> None:
        self._send = send
        self._classes = classes
        self._clock = clock
        self._next_at = clock()

    def show(self, batch: Batch, scored: Scored, step: int) -> None:
        """Send the first pictures of a batch, if it is time for some. step: of the weights that made the guesses."""
        began = self._clock()
        if scored.guesses is None or began < self._next_at:
            return
        count = len(scored.guesses)
        images, targets = np.asarray(batch.images[:count]), np.asarray(batch.targets[:count])
        pictures = [
            _picture(int(batch.partition[row]), int(batch.offset[row]), images[row], targets[row], scored.guesses[row])
            for row in range(count)
        ]
        colours = [as_text(colour) for colour in class_palette()[: self._classes]]
        self._send(Pictures(step=step, taken_at=time.time(), colours=colours, pictures=pictures))
        now = self._clock()
        self._next_at = now + max(EVERY_S, REST * (now - began))


def _picture(partition: int, offset: int, image: Array, target: Array, guess: Array) -> Picture:
    """image: uint8[S, S, 3]; target and guess: uint8[S, S] masks, or labels without a shape."""
    shown = _jpeg(_small(image, cv2.INTER_AREA))
    known, wrong = target != IGNORED, guess != target
    if target.ndim == 0:
        label, predicted = int(target), int(guess)
        return Picture(
            partition=partition, offset=offset, image=shown, label=label, predicted_label=predicted, wrong=float(wrong)
        )
    share = float(np.mean(wrong[known])) if known.any() else None
    return Picture(
        partition=partition,
        offset=offset,
        image=shown,
        mask=_png(target, class_palette()),
        prediction=_png(guess, class_palette()),
        error=_png((wrong & known).astype(np.uint8), error_palette()),
        wrong=share,
    )


def _small(picture: Array, interpolation: int) -> Array:
    scale = LARGEST / max(picture.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(picture)
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    smaller: Array = cv2.resize(picture, (width, height), interpolation=interpolation)
    return smaller


def _jpeg(image: Array) -> str:
    return _data_url("image/jpeg", simplejpeg.encode_jpeg(image, quality=80))


def _png(indexes: Array, palette: Array) -> str:
    small = _small(indexes, cv2.INTER_NEAREST)
    encoded = cv2.imencode(".png", small, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
    return _data_url("image/png", as_palette_png(encoded, palette))


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
