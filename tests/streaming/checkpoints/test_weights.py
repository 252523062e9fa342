"""Variables come back bit for bit, or are refused by name."""

import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from streaming.arrays import Array
from streaming.checkpoints.weights import encode, read_weights
from streaming.errors import CheckpointDamaged, CheckpointError

FLOATS = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]


def there_and_back(path: Path, variables: dict[str, Array]) -> dict[str, Array]:
    path.write_bytes(encode(variables))
    return read_weights(path)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, np.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 1, 5)])
def test_variables_come_back_bit_for_bit(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(-3, 3, shape).astype(dtype)
    again = there_and_back(tmp_path / "model", {"dense/kernel": values, "dense/kernel#2": values})
    assert again.keys() == {"dense/kernel", "dense/kernel#2"}
    for name in again:
        assert (again[name].dtype, again[name].shape) == (values.dtype, shape)
        assert again[name].tobytes() == values.tobytes()


def test_the_order_in_memory_does_not_matter(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    views = {"fortran": np.asfortranarray(values), "transposed": values.T, "strided": values[:, ::2]}
    again = there_and_back(tmp_path / "model", views)
    assert all((again[name] == view).all() for name, view in views.items())


def test_smallest_and_signed_values_survive(tmp_path: Path) -> None:
    values = np.array([-0.0, 1e-45, np.finfo(np.float32).max, np.finfo(np.float32).tiny], np.float32)
    assert there_and_back(tmp_path / "model", {"v": values})["v"].tobytes() == values.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_values_that_are_not_finite_are_refused_by_name(dtype: type, value: float) -> None:
    with pytest.raises(CheckpointError, match="variable dense/bias holds values that are not finite"):
        encode({"dense/kernel": np.ones(2, dtype), "dense/bias": np.array([0, value, 1]).astype(dtype)})


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.int4, np.complex128, "S4", object])
def test_types_that_would_not_come_back_are_refused_by_name(dtype: object) -> None:
    with pytest.raises(CheckpointError, match=r"variable dense/bias is of type .* which can't be saved"):
        encode({"dense/bias": np.array([1, 0, 1]).astype(dtype)})  # type: ignore[call-overload]


def test_bfloat16_is_read_in_a_process_without_tensorflow(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(encode({"v": np.array([1.5, -2], ml_dtypes.bfloat16)}))
    code = (
        "import sys, pathlib; from streaming.checkpoints.weights import read_weights; "
        "v = read_weights(pathlib.Path(sys.argv[1]))['v']; print(v.dtype, v.astype(float).tolist(), "
        "'tensorflow' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "bfloat16 [1.5, -2.0] False"


def test_what_is_no_model_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(CheckpointDamaged, match="model can't be read"):
        read_weights(path)
    path.write_bytes(encode({"v": np.ones(3)}))
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(CheckpointDamaged, match="model can't be read"):
        read_weights(path)
