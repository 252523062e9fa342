"""`python -m streaming examine`: the checks that need TensorFlow, in a process that may hang or die of them.

Standard input: a line of JSON {settings, ranges}. To the descriptor it is given it writes a line of JSON before each
check, {"begins": name, "within_s": seconds}, and one after it, {"finding": …}.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from streaming import logs
from streaming.arrays import Array
from streaming.doctor.disk import check_room
from streaming.doctor.finding import Finding, failed, ok, skipped, warning
from streaming.errors import PenstockError, SettingsError
from streaming.parent import die_with_parent
from streaming.records.sample import Reject
from streaming.sentence import sentence
from streaming.settings import Settings, parse_settings

WITHIN_S = {"tensorflow": 300.0, "model": 300.0, "reader": 60.0, "decode": 120.0, "batch": 600.0, "room": 60.0}
Range = tuple[int, int, int]  # partition, start, stop
Say = Callable[[dict[str, Any]], object]


def main(descriptor: int) -> None:
    """Until all is checked; what can't be because of another failure is left out."""
    die_with_parent()
    logs.silence()
    asked = json.loads(sys.stdin.buffer.readline())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = parse_settings(asked["settings"])
    ranges = [(each[0], each[1], each[2]) for each in asked["ranges"]]
    _Examination(settings, ranges, lambda line: os.write(descriptor, json.dumps(line).encode() + b"\n")).run()
    os._exit(0)  # a read that blocks can't be joined


class _Examination:
    """One check after the other, on what those before have found."""

    def __init__(self, settings: Settings, ranges: Sequence[Range], say: Say) -> None:
        self._settings = settings
        self._ranges = ranges
        self._say = say
        self._trainer: Any = None
        self._records: list[tuple[bytes, bytes]] = []
        self._images: list[Array] = []
        self._targets: list[Array | int] = []

    def run(self) -> None:
        if not self._done("tensorflow", self._tensorflow) or not self._done("model", self._model):
            return
        if self._done("reader", self._reader):
            self._done("decode", self._decode)
        self._done("batch", self._batch)
        self._done("room", self._room)

    def _done(self, name: str, check: Callable[[], Finding]) -> bool:
        """Whether it may go on."""
        self._say({"begins": name, "within_s": WITHIN_S[name]})
        try:
            finding = check()
        except PenstockError as error:
            finding = failed(name, str(error), "correct what it names")
        except Exception as error:  # noqa: BLE001  # TensorFlow and users' code may raise anything, and that is what is asked
            finding = failed(
                name, f"{type(error).__name__}: {sentence(error)}", "see the traceback in the worker's log"
            )
        self._say({"finding": finding.told()})
        return finding.verdict != "failed"

    def _tensorflow(self) -> Finding:
        from streaming.assembly import check_versions, prepare_device
        from streaming.kafka.readers import chosen

        if chosen(self._settings.kafka)[0] == "tensorflow-io":
            try:
                check_versions()
            except SettingsError as error:
                return failed("tensorflow", str(error), "install the versions that penstock pins")
        names = ("tensorflow", "tensorflow-io", "keras")
        return ok("tensorflow", f"{', '.join(f'{name} {version(name)}' for name in names)}; {prepare_device().title}")

    def _model(self) -> Finding:
        from streaming.training.trainer import Trainer, build_model

        model = build_model(self._settings)
        self._trainer = Trainer(model, self._settings)
        self._trainer.compile()
        learns = "class numbers" if self._trainer.labels else "masks"
        return ok("model", f"{model.count_params():,} parameters, learns from {learns}")

    def _reader(self) -> Finding:
        """Some of the newest records, through the client that the service would read with."""
        import tensorflow as tf

        from streaming.kafka.readers import chosen, open_reader

        name, _ = chosen(self._settings.kafka)
        if not self._ranges:
            return skipped("reader", "there is no record to read")
        read = open_reader(self._settings.kafka, self._settings.group_id)
        places = tf.constant(self._ranges, tf.int64)
        began = time.monotonic()
        for (_, start, stop), fetched in zip(
            self._ranges,
            tf.data.Dataset.from_tensor_slices(places).map(lambda at: read(at[0], at[1], at[2])),
            strict=True,
        ):
            for value, key, offset in zip(*(column.numpy() for column in fetched[:3]), strict=True):
                if start <= offset < stop:
                    self._records.append((value, key))
        took_s = time.monotonic() - began
        return ok("reader", f"{name} has read {len(self._records)} records in {took_s:.1f} s")

    def _decode(self) -> Finding:
        from streaming.decoding import build_decoder

        if not self._records:
            return skipped("decode", "there is no record to decode")
        decode = build_decoder(self._settings, labels=self._trainer.labels)
        reasons: Counter[str] = Counter()
        example = ""
        for value, key in self._records:
            result = decode(value, key)
            if isinstance(result, Reject):
                reasons[result.reason] += 1
                example = example or f"; for example {result.reason}: {result.detail}"
            else:
                self._images.append(result.image)
                self._targets.append(result.target)
        bad = sum(reasons.values())
        if not bad:
            return ok("decode", f"{len(self._images)} records, all good")
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        text = f"{bad} of {len(self._records)} records are bad: {told}{example}"
        remedy = "README, Record format; records.parse, model.classes; masks or labels"
        if bad > self._settings.records.max_bad_fraction * len(self._records):
            return failed("decode", text, remedy)
        return warning("decode", text, remedy)

    def _batch(self) -> Finding:
        """Two steps of a full batch on the device: the first one may compile."""
        images, targets, of = self._full_batch()
        took_s = []
        for _ in range(2):
            began = time.monotonic()
            result = self._trainer.step(images, targets)
            took_s.append(time.monotonic() - began)
        size = len(images)
        text = f"{size} {of}: loss {result.loss:.3f}, {took_s[1]:.2f} s a step ({size / took_s[1]:.0f} records/s)"
        if not result.applied:
            return failed("batch", f"{text}, and it gives values that are not finite", "a smaller model.learning_rate")
        if took_s[1] > self._settings.service.stall_s:
            return failed("batch", text, "a step takes longer than service.stall_s: raise that")
        return ok("batch", text)

    def _full_batch(self) -> tuple[Any, Any, str]:
        """images uint8[B, S, S, 3], targets uint8[B, S, S] or int64[B], what they are."""
        import tensorflow as tf

        from streaming.assembly import load_preprocess
        from streaming.records.decode import Limits

        pipeline, size = self._settings.pipeline, self._settings.pipeline.batch_size
        labels, side = self._trainer.labels, pipeline.image_size
        rows = [row % max(1, len(self._images)) for row in range(size)]
        if self._images:
            images = np.stack([self._images[row] for row in rows])
            targets = np.array([self._targets[row] for row in rows], np.int64 if labels else np.uint8)
        else:
            images = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), np.uint8)
            targets = np.zeros(size, np.int64) if labels else np.zeros((size, side, side), np.uint8)
        if pipeline.preprocess is not None:
            records = self._settings.records
            limits = Limits(side, self._settings.model.classes, records.max_bytes, records.max_pixels, labels=labels)
            changed = load_preprocess(pipeline.preprocess, limits)(
                tf.constant(images), tf.constant(targets), tf.zeros(2, tf.int32)
            )
            return *changed, "preprocessed records of the topic" if self._images else "preprocessed made-up pictures"
        return tf.constant(images), tf.constant(targets), "records of the topic" if self._images else "made-up pictures"

    def _room(self) -> Finding:
        return check_room(self._settings, sum(array.nbytes for array in self._trainer.state().values()))
