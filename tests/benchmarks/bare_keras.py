"""The other side of the comparison: the same model in `model.fit`, fed from memory. Obeys lines on stdin.

Each line is a number of seconds; the answer is one line of JSON with the images and the seconds between the first and
the last counted step. The first steps of a window are not counted, as on the other side.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from streaming.settings_sources import load_settings
from streaming.training.trainer import build_model
from tests.benchmarks.windows import UNCOUNTED_STEPS

BATCHES = 8


class Window(keras.callbacks.Callback):
    """Stops the fit after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._until = time.monotonic() + seconds
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.ends.append(time.monotonic())
        if self.ends[-1] > self._until and len(self.ends) > UNCOUNTED_STEPS + 1:
            self.model.stop_training = True


def main() -> None:
    settings = load_settings()
    size, batch = settings.pipeline.image_size, settings.pipeline.batch_size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCHES * batch, size, size, 3), dtype=np.uint8)
    masks = rng.integers(0, settings.model.classes, (BATCHES * batch, size, size), dtype=np.uint8)
    model = build_model(settings)
    for line in sys.stdin:
        window = Window(float(line))
        while not model.stop_training or not window.ends:
            model.fit(images, masks, batch_size=batch, epochs=10_000, verbose=0, callbacks=[window])
        ends = window.ends[UNCOUNTED_STEPS:]
        answer = {"images": (len(ends) - 1) * batch, "seconds": ends[-1] - ends[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
