"""What the finite check of a step costs: the service's step against Keras' own of the same model, alternating."""

import argparse
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.rows import Row, row
from tests.benchmarks.windows import quotients

BATCHES, WARM_STEPS = 8, 3


def measure(wishes: argparse.Namespace) -> list[Row]:
    """Time of a bare step over that of a checked one."""
    import numpy as np
    import tensorflow as tf

    from streaming.settings import Settings
    from streaming.training.trainer import Trainer, build_model

    settings = Settings()
    size, batch = settings.pipeline.image_size, settings.pipeline.batch_size
    rng = np.random.default_rng(0)
    images = [tf.constant(rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)) for _ in range(BATCHES)]
    masks = [tf.constant(rng.integers(0, 3, (batch, size, size), dtype=np.uint8)) for _ in range(BATCHES)]
    trainer = Trainer(build_model(settings), settings)
    bare = tf.function(lambda image, mask: trainer.model.train_step((image, mask))["loss"])

    def bare_step(number: int) -> None:
        float(bare(images[number % BATCHES], masks[number % BATCHES]))

    def checked_step(number: int) -> None:
        trainer.step(images[number % BATCHES], masks[number % BATCHES])

    for step in (bare_step, checked_step):
        for number in range(WARM_STEPS):
            step(number)
    bare_s, checked_s = [], []
    for _ in range(wishes.rounds):
        bare_s.append(seconds_a_step(bare_step, wishes.seconds))
        checked_s.append(seconds_a_step(checked_step, wishes.seconds))
    return [row("a bare step / one with the finite check, time", "ratio", quotients(bare_s, checked_s))]


def seconds_a_step(step: Callable[[int], Any], seconds: float) -> float:
    """Mean over a window."""
    steps, began = 0, time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        step(steps)
        steps += 1
    return (now - began) / steps
