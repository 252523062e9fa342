"""A user's parser with a fault that is mended while it runs: bright pictures are refused until a file is there.

The file's path is in the environment's MENDED.
"""

import os
from pathlib import Path

import user_code

from streaming.records.sample import Reject, Sample

BRIGHT = 200


def parse(value: bytes, key: bytes) -> Sample | Reject:
    """As `user_code.parse`, once it is mended."""
    sample = user_code.parse(value, key)
    bright = isinstance(sample, Sample) and sample.image[0, 0, 0] >= BRIGHT
    return Reject("too_bright_yet", "not mended") if bright and not Path(os.environ["MENDED"]).exists() else sample
