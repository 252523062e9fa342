"""The array type of the package: dtype and shape stand in the docstrings, as in `uint8[N, H, W, 3]`."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
