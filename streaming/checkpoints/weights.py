"""The model's file: every variable of model and optimizer by name, in safetensors."""

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from streaming.arrays import Array
from streaming.errors import CheckpointDamaged, CheckpointError

# What comes back as it was. NumPy knows bfloat16 only once ml_dtypes is imported; safetensors reads no 8-bit floats.
_DTYPES = {
    np.dtype(dtype)
    for dtype in (
        *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
        *(np.float16, np.float32, np.float64, ml_dtypes.bfloat16, np.complex64),
    )
}


def encode(variables: Mapping[str, Array]) -> bytes:
    """The file's content. Raises CheckpointError naming a variable that can't be saved, or isn't finite."""
    for name, values in variables.items():
        if values.dtype not in _DTYPES:
            raise CheckpointError(f"variable {name} is of type {values.dtype}, which can't be saved")
        if not np.isfinite(values).all():
            raise CheckpointError(f"variable {name} holds values that are not finite; not saved")
    # safetensors takes memory as it lies, so that columns first would come back scrambled
    rows_first = {name: np.ascontiguousarray(values).reshape(values.shape) for name, values in variables.items()}
    content: bytes = safetensors.numpy.save(rows_first)
    return content


def read_weights(path: Path) -> dict[str, Array]:
    """What `encode` was given. Raises CheckpointDamaged if the file is gone or no such thing."""
    try:
        variables: dict[str, Array] = safetensors.numpy.load_file(path)
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        raise CheckpointDamaged(f"{path} can't be read: {error}") from error
    return variables
