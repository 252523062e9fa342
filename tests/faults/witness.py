"""The witness's records: each carries a code in its pixels, which the witness model counts; no TensorFlow here."""

import re
from functools import cache

import cv2
import numpy as np

from streaming.records.example import encode_example

SIZE = 8
CODES = 1 << 17  # 0 .. CODES - 1
POISON = CODES - 1  # a good record whose training step gives a loss of NaN
WITNESS = {
    "model.build": "tests.faults.witness_model:build",
    "pipeline.image_size": SIZE,
    "pipeline.batch_size": 8,
    "pipeline.shuffle_buffer": 64,
    "kafka.range_records": 32,
}
"""Settings of a service that trains the witness; the working directory must be the repository's."""

_NAMED = re.compile(rb"witness-(\d{6})")
_MASK = cv2.imencode(".png", np.zeros((SIZE, SIZE), np.uint8))[1].tobytes()


@cache
def witness_record(code: int) -> bytes:
    """A record's value: a picture of one colour, which is the code (red its lowest byte), so that a flip and a
    resize change nothing; equal codes give equal bytes."""
    assert 0 <= code < CODES, code
    blue_green_red = np.array([code >> 16, code >> 8 & 255, code & 255], np.uint8)
    image = cv2.imencode(".png", np.tile(blue_green_red, (SIZE, SIZE, 1)))[1].tobytes()
    return encode_example(image=image, mask=_MASK, filename=f"witness-{code:06d}")


def code_of(value: bytes | None) -> int | None:
    """The code of a record exactly as `witness_record` made it; None for anything else, and that is no good record."""
    found = _NAMED.search(value or b"")
    code = int(found[1]) if found else CODES
    return code if code < CODES and value == witness_record(code) else None
