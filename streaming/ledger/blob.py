"""Bitmaps and a little JSON in one safetensors blob; equal content gives equal bytes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from pyroaring import BitMap64
from safetensors import SafetensorError

from streaming.errors import CheckpointDamaged

_KEY = "ledger"
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, SafetensorError)


def encode(about: Mapping[str, Any], bitmaps: Mapping[str, BitMap64]) -> bytes:
    """about: JSON under the metadata key `ledger`. Tensors: uint8[N], each a run-optimised bitmap in CRoaring's
    portable 64-bit serialisation; empty bitmaps are left out.
    """
    tensors = {}
    for name, bitmap in bitmaps.items():
        if bitmap:
            bitmap.run_optimize()
            tensors[name] = np.frombuffer(bitmap.serialize(), np.uint8)
    blob: bytes = safetensors.numpy.save(tensors, {_KEY: json.dumps(about, sort_keys=True)})
    return blob


def decode(blob: bytes) -> tuple[Any, dict[str, BitMap64]]:
    """What `encode` was given. Raises CheckpointDamaged for bytes that can't be such a blob."""
    try:
        tensors = safetensors.numpy.load(blob)
        return _metadata(blob), {name: BitMap64.deserialize(tensor.tobytes()) for name, tensor in tensors.items()}
    except MALFORMED as error:
        raise CheckpointDamaged(f"the ledger can't be read: {error}") from error


def _metadata(blob: bytes) -> Any:
    """safetensors' own loader for bytes leaves metadata out."""
    length = int.from_bytes(blob[:8], "little")
    return json.loads(json.loads(blob[8 : 8 + length])["__metadata__"][_KEY])
