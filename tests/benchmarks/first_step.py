"""The other side of the recovery bench: a fresh process that builds the same model and takes one step from memory."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from streaming.settings_sources import load_settings
from streaming.training.trainer import build_model


def main() -> None:
    settings = load_settings()
    size, batch = settings.pipeline.image_size, settings.pipeline.batch_size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    masks = rng.integers(0, settings.model.classes, (batch, size, size), dtype=np.uint8)
    build_model(settings).train_on_batch(images, masks)
    print("stepped", flush=True)


if __name__ == "__main__":
    main()
