"""Patterns by name, and 4-bit elements, of which two share a byte."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparse_gemm import _C

__all__ = [
    "GROUP_ELEMENTS",
    "PACKED_DTYPES",
    "PACKED_DTYPES_OF",
    "PATTERNS",
    "SCALE_GROUP_SIZES",
    "pack_nibbles",
    "pattern_of",
    "unpack_nibbles",
]

PATTERNS: dict[str, _C.Pattern] = {
    "2:4": _C.Pattern.k2of4,
    "1:2": _C.Pattern.k1of2,
    "4:8": _C.Pattern.k4of8,
}
GROUP_ELEMENTS = {"2:4": 4, "1:2": 2, "4:8": 8}  # of the dense matrix (docs/format.md)
SCALE_GROUP_SIZES = (32, 64, 128)  # elements of K that can share a scale
PACKED_DTYPES = (_C.DType.int4, _C.DType.uint4)  # stored two to a byte, in uint8
# Number of a pattern -> those that it has.
PACKED_DTYPES_OF = {
    int(pattern): tuple(dtype for dtype in PACKED_DTYPES if _C.supports(pattern, dtype))
    for pattern in PATTERNS.values()
}


def pattern_of(pattern: str) -> _C.Pattern:
    """The pattern called `pattern`.

    Raises:
        ValueError: no such pattern.
    """
    found = PATTERNS.get(pattern) if isinstance(pattern, str) else None
    if found is None:
        raise ValueError(f"pattern is {pattern!r}; expected one of {', '.join(PATTERNS)}")
    return found


def pack_nibbles(w: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """4-bit elements [M, K], one a byte -> uint8 [M, ceil(K/2)], the earlier in the low nibble."""
    nibbles = w.astype(np.int8).view(np.uint8) & 0xF
    if nibbles.shape[1] % 2:
        nibbles = np.pad(nibbles, ((0, 0), (0, 1)))
    return np.ascontiguousarray(nibbles[:, ::2] | (nibbles[:, 1::2] << 4))


def unpack_nibbles(packed: np.ndarray[Any, Any], k: int, dtype: Any) -> np.ndarray[Any, Any]:
    """The inverse of `pack_nibbles`: uint8 [M, ceil(K/2)] -> `dtype` [M, K]."""
    rows, columns = packed.shape
    nibbles = np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(rows, 2 * columns)[:, :k]
    if np.dtype(dtype).name == "int4":
        nibbles = (nibbles.astype(np.int8) ^ 8) - 8  # sign extension
    return nibbles.astype(dtype)
