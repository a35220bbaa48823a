"""Stored tensors: their types as safetensors names them, and what is known before they are read."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from sparse_gemm.checkpoints.errors import CheckpointError

__all__ = ["Array", "TensorInfo", "code_of", "dtype_named", "dtype_of_code", "has_codes"]
__all__ += ["check_extents", "check_integers"]

Array = NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "I16": np.dtype(np.int16),
    "U16": np.dtype(np.uint16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I32": np.dtype(np.int32),
    "U32": np.dtype(np.uint32),
    "F32": np.dtype(np.float32),
    "C64": np.dtype(np.complex64),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U64": np.dtype(np.uint64),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_NAMES = {dtype.name: dtype for dtype in _DTYPES.values()}

# No real tensor comes near; keeps products of extents, and NumPy, far from their own limits.
_MAX_DIMENSIONS = 16
_MAX_EXTENT = 2**40
_MAX_ELEMENTS = 2**48  # an extent of 0 counts as 1


class TensorInfo(NamedTuple):
    """A stored tensor's type and shape."""

    code: str  # safetensors' name of its dtype, such as "F16"
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its NumPy dtype."""
        return dtype_of_code(self.code)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize


def dtype_of_code(code: object) -> np.dtype[Any]:
    """The NumPy dtype that safetensors calls `code`.

    Raises:
        CheckpointError: no such type, or one without a NumPy dtype.
    """
    if not isinstance(code, str) or code not in _DTYPES:
        raise CheckpointError(f"dtype is {code!r:.40}; expected one of {', '.join(_DTYPES)}")
    return _DTYPES[code]


def dtype_named(name: str) -> np.dtype[Any]:
    """The NumPy dtype called `name`, such as "bfloat16".

    Raises:
        CheckpointError: no such dtype.
    """
    if name not in _NAMES:
        raise CheckpointError(f"dtype is {name!r:.40}; expected one of {', '.join(_NAMES)}")
    return _NAMES[name]


def has_codes(*infos: tuple[TensorInfo, tuple[str, ...]]) -> bool:
    """Whether each tensor's type is among those beside it."""
    return all(info.code in codes for info, codes in infos)


def code_of(dtype: np.dtype[Any]) -> str:
    """What safetensors calls a NumPy dtype.

    Raises:
        CheckpointError: it has no name for it.
    """
    code = _CODES.get(np.dtype(dtype).newbyteorder("="))
    if code is None:
        raise CheckpointError(f"dtype {dtype} cannot be stored in safetensors")
    return code


def check_extents(shape: object) -> tuple[int, ...]:
    """`shape` as a tuple of sensible extents.

    Raises:
        CheckpointError: it is anything else.
    """
    extents = check_integers(shape, "shape")
    if math.prod(max(extent, 1) for extent in extents) > _MAX_ELEMENTS:
        raise CheckpointError("a shape is of more elements than a file can hold")
    return extents


def check_integers(numbers: object, what: str) -> tuple[int, ...]:
    """`numbers` as a tuple: a few integers that are not negative and not huge.

    Raises:
        CheckpointError: they are anything else; `what` is what they are.
    """
    if not isinstance(numbers, (list, tuple)) or len(numbers) > _MAX_DIMENSIONS:
        raise CheckpointError(f"a {what} is not a list of at most {_MAX_DIMENSIONS} integers")
    for number in numbers:
        if type(number) is not int:
            raise CheckpointError(f"a {what} holds a {type(number).__name__}; expected integers")
        if not 0 <= number <= _MAX_EXTENT:
            raise CheckpointError(f"a {what} holds a number that is not among 0 to 2**40")
    return tuple(numbers)
