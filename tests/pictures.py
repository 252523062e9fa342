"""`python -m tests.pictures DEMO`: draw the README's pictures anew.

DEMO: the folder of a demo run (`penstock demo --directory DEMO`), whose newest checkpoint makes the predictions.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from streaming.arrays import Array
from streaming.demo.pets import contact_sheet
from streaming.demo.plan import child_environment
from streaming.demo.synthetic import synthetic

FOLDER = Path(__file__).parent.parent / "ops" / "pictures"
SEED, UNSEEN_SEED = 1, 1_000_004  # the demo's own, and the one that it is scored on
PALETTE = np.array([(244, 162, 58), (32, 58, 84), (250, 244, 226)], np.uint8)
CELL, GAP = (168, 126), 4  # width and height, pixels


def main() -> None:
    demo = Path(sys.argv[1])
    FOLDER.mkdir(exist_ok=True)
    write("pets.png", contact_sheet(SEED, rows=2, columns=3, width=CELL[0], height=CELL[1]))
    write("predictions.png", predictions(demo / "checkpoints", columns=6))


def predictions(checkpoints: Path, columns: int) -> Array:
    """Three lines of `columns` pets that nobody trained on: picture, truth, what the newest checkpoint says."""
    os.environ |= child_environment("", "pets", checkpoints, 0)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import safetensors.numpy

    from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
    from streaming.decoding import build_decoder
    from streaming.records.decode import Decoded
    from streaming.settings_sources import load_settings
    from streaming.training.trainer import Trainer, build_model

    settings, store = load_settings(), CheckpointStore(checkpoints)
    trainer = Trainer(build_model(settings), settings)
    manifest, _ = store.newest_valid()
    assert manifest is not None, f"no checkpoint in {checkpoints}"
    trainer.load(safetensors.numpy.load_file(store.path(manifest.id) / MODEL_FILE))
    decode = build_decoder(settings, labels=False)
    decoded = [decode(record.value or b"", b"") for record in synthetic(UNSEEN_SEED, count=columns)]
    good = [one for one in decoded if isinstance(one, Decoded)]
    images = np.stack([one.image for one in good])
    guesses = np.argmax(trainer.model(images, training=False), -1)
    lines = images, [PALETTE[one.target] for one in good], PALETTE[guesses]
    return np.concatenate([line(cells) for cells in lines])


def line(cells: Iterable[Array]) -> Array:
    """Cells side by side, at the pictures' own proportions."""
    sized = [cv2.resize(cell, CELL, interpolation=cv2.INTER_NEAREST) for cell in cells]
    framed = [cv2.copyMakeBorder(cell, *[GAP] * 4, cv2.BORDER_CONSTANT, value=(255,) * 3) for cell in sized]
    return np.concatenate(framed, axis=1)


def write(name: str, picture: Array) -> None:
    cv2.imwrite(str(FOLDER / name), picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{name}: {(FOLDER / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
