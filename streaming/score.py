"""A second opinion: a process that has nothing but the checkpoint scores it on pets of a seed nobody trained on."""

import argparse
import json
import os
from pathlib import Path

import numpy as np

from streaming.arrays import Array

BATCH = 50


def main(arguments: list[str]) -> None:
    """Prints one line of JSON: loss, mean_iou, iou, baseline_mean_iou, records. Settings: the environment's."""
    parser = argparse.ArgumentParser(prog="python -m streaming score", description=__doc__)
    parser.add_argument("--checkpoint-directory", type=Path, required=True, help="the folder with all checkpoints")
    parser.add_argument("--checkpoint", required=True, help="which one")
    parser.add_argument("--seed", type=int, required=True, help="seed of the drawn pets")
    parser.add_argument("--count", type=int, default=300, help="how many pets")
    wishes = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(json.dumps(score(wishes.checkpoint_directory, wishes.checkpoint, wishes.seed, wishes.count)))  # noqa: T201


def score(directory: Path, checkpoint_id: str, seed: int, count: int) -> dict[str, object]:
    """Build the model, load the checkpoint's weights, score `count` drawn pets. Raises PenstockError."""
    from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
    from streaming.checkpoints.weights import read_weights
    from streaming.decoding import build_decoder
    from streaming.demo.synthetic import synthetic
    from streaming.records.decode import Decoded
    from streaming.settings_sources import load_settings
    from streaming.training.evaluation import ious
    from streaming.training.trainer import Trainer, build_model

    settings = load_settings()
    trainer = Trainer(build_model(settings), settings)
    store = CheckpointStore(directory)
    store.verify(checkpoint_id)
    trainer.load(read_weights(store.path(checkpoint_id) / MODEL_FILE))
    decode = build_decoder(settings, labels=trainer.labels)
    decoded = [decode(record.value or b"", record.key or b"") for record in synthetic(seed, count=count)]
    good = [one for one in decoded if isinstance(one, Decoded)]
    images, targets = np.stack([one.image for one in good]), np.stack([np.asarray(one.target) for one in good])
    confusion: Array = np.zeros((settings.model.classes,) * 2, np.int64)
    loss = 0.0
    for start in range(0, len(good), BATCH):
        scored = trainer.score(images[start : start + BATCH], targets[start : start + BATCH])
        loss += scored.loss * len(images[start : start + BATCH])
        confusion += scored.confusion
    return {
        "loss": loss / len(good),
        "mean_iou": float(np.nanmean(ious(confusion))),
        "iou": ious(confusion).tolist(),
        "baseline_mean_iou": constant_guess(confusion),
        "records": len(good),
    }


def constant_guess(confusion: Array) -> float:
    """Mean IoU of the best model that says the same class everywhere. confusion: int64[C, C], rows the truth."""
    shares = confusion.sum(1) / confusion.sum()
    return float(shares.max() / len(shares))
