# NumPy's stubs answer Any for most expressions over arrays of any dtype.
# mypy: disable-error-code="no-any-return"
"""Nibbles of the reference implementation: two to a byte, the earlier in the low half."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

__all__ = ["from_nibbles", "pack_nibbles", "unpack_nibbles"]

Array = NDArray[Any]


def pack_nibbles(nibbles: Array) -> Array:
    """uint8 [..., 2n] of nibbles as uint8 [..., n]: the earlier of two in the low half."""
    return (nibbles[..., 0::2] | nibbles[..., 1::2] << 4).astype(np.uint8)


def unpack_nibbles(packed: Array) -> Array:
    """The inverse of pack_nibbles."""
    halves = np.stack([packed & 0xF, packed >> 4], axis=-1)
    return halves.reshape(*packed.shape[:-1], 2 * packed.shape[-1])


def from_nibbles(nibbles: Array, dtype: np.dtype[Any]) -> Array:
    """uint8 nibbles as int4 (two's complement) or uint4."""
    if dtype == ml_dtypes.int4:
        return ((nibbles.astype(np.int8) ^ 8) - 8).astype(dtype)
    return nibbles.astype(dtype)
