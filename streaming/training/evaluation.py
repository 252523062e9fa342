"""Two honest scores: prequential (scored before trained, fading) and hold-out (never trained, a fixed numbered set)."""

import math
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from streaming.arrays import Array
from streaming.control.messages import Score
from streaming.records.decode import IGNORE

FADE_PER_RECORD = 0.998


class Scored(NamedTuple):
    """loss: mean over the batch; confusion: int64[C, C], rows the truth, columns the prediction, or None.

    guesses: classes of the first few, uint8[K, S, S] masks or uint8[K] labels, or None.
    """

    loss: float
    confusion: Array | None
    guesses: Array | None = None


def ious(confusion: Array) -> Array:
    """float64[C] intersection over union from a confusion matrix [C, C]; NaN for a class that never occurs."""
    hit = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return np.divide(hit, union, out=np.full_like(hit, np.nan), where=union > 0)


def as_scores(name: str, loss: float, confusion: Array | None) -> list[Score]:
    """The scores of one set as they are exported. Classes that never occurred are left out."""
    scores = [Score(set=name, name="loss", value=loss)]
    if confusion is None:
        return scores
    classes = ious(confusion)
    if not np.isnan(classes).all():
        scores.append(Score(set=name, name="mean_iou", value=float(np.nanmean(classes))))
    scores += [
        Score(set=name, name="iou", class_=str(c), value=float(v)) for c, v in enumerate(classes) if not np.isnan(v)
    ]
    return scores


class Prequential:
    """A fading average over batches that are scored before they are trained.

    The confusion matrix fades by 0.998 a record. Source: Gama et al., On evaluating stream learning algorithms, 2013.
    """

    def __init__(self) -> None:
        self._loss = 0.0
        self._weight = 0.0
        self._confusion: Array | None = None

    def add(self, scored: Scored, records: int) -> None:
        """A loss that is not finite is left out: it would never fade, and no checkpoint can hold it."""
        if not math.isfinite(scored.loss):
            return
        fade = FADE_PER_RECORD**records
        self._loss = self._loss * fade + scored.loss * records
        self._weight = self._weight * fade + records
        if scored.confusion is not None:
            before = 0.0 if self._confusion is None else self._confusion * fade
            self._confusion = before + scored.confusion.astype(np.float64)

    def scores(self) -> list[Score]:
        return as_scores("prequential", self._loss / self._weight, self._confusion) if self._weight else []

    def state(self) -> dict[str, Any]:
        """JSON values; `restore` gives back the same scores."""
        confusion = None if self._confusion is None else self._confusion.tolist()
        return {"loss": self._loss, "weight": self._weight, "confusion": confusion}

    def restore(self, state: dict[str, Any]) -> None:
        self._loss, self._weight = state["loss"], state["weight"]
        self._confusion = None if state["confusion"] is None else np.array(state["confusion"], np.float64)


class EvaluationSet:
    """A numbered set of decoded hold-out records: images uint8[N, S, S, 3], targets uint8[N, S, S] or int64[N]."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self._size = size
        self._images: list[Array] = []
        self._targets: list[Array] = []

    def __len__(self) -> int:
        return len(self._images)

    def fits(self, image_size: int, classes: int, *, labels: bool) -> bool:
        """Whether a model can be scored on it: of such images (pixels a side), classes, and labels instead of masks."""
        sides = () if labels else (image_size, image_size)
        return all(
            len(image) == image_size and target.shape == sides and bool(((target < classes) | (target == IGNORE)).all())
            for image, target in zip(self._images, self._targets, strict=True)
        )

    def add(self, image: Array, target: Array | int) -> None:
        """Once the set is full, further records change nothing."""
        if len(self) < self._size:
            self._images.append(image)
            self._targets.append(np.asarray(target))

    def arrays(self) -> tuple[Array, Array]:
        return np.stack(self._images), np.stack(self._targets)

    def frozen(self) -> "EvaluationSet | None":
        """The set as it is now, for another thread; None while it is empty."""
        if not len(self):
            return None
        copy = EvaluationSet(self.number, len(self))
        copy._images, copy._targets = self._images[:], self._targets[:]
        return copy

    def dump(self) -> bytes:
        """safetensors: `images` and `targets`."""
        images, targets = self.arrays()
        blob: bytes = safetensors.numpy.save({"images": images, "targets": targets})
        return blob

    @classmethod
    def load(cls, number: int, size: int, blob: bytes) -> "EvaluationSet":
        """What `dump` wrote; it goes on growing up to `size`."""
        tensors = safetensors.numpy.load(blob)
        loaded = cls(number, size)
        loaded._images, loaded._targets = list(tensors["images"]), list(tensors["targets"])
        return loaded
