"""TensorFlow's errors in words for people."""

import re

import tensorflow as tf

_GRAPH_NAMES = re.compile(r"\{\{(function_)?node [^}]*\}\}\s*")
_OPERATION = re.compile(r"\s*\[Op:.*")


def sentence(error: tf.errors.OpError) -> str:
    """The first line of the message, without the names that TensorFlow gave to its graph."""
    lines = [_OPERATION.sub("", _GRAPH_NAMES.sub("", line)).strip() for line in str(error.message or "").splitlines()]
    return next((line for line in lines if line), type(error).__name__)
