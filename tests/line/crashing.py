"""A parser that brings its process down by native means, as a decoder with a bug does."""

import ctypes
import os
import signal

from streaming.records.example import parse_example
from streaming.records.sample import Reject, Sample

SIGNAL, NULL = b"kill me", b"read from nowhere"


def parse(value: bytes, key: bytes) -> Sample | Reject:
    """The default format, but for two values."""
    if value == SIGNAL:
        os.kill(os.getpid(), signal.SIGSEGV)
    if value == NULL:
        ctypes.string_at(0)
    return parse_example(value, key)
