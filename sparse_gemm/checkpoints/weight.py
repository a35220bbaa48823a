"""Weight: a matrix of a checkpoint in canonical form, between any two file formats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.errors import SparsityError
from sparse_gemm.format.compression import compress
from sparse_gemm.format.tensor import Sparse24Tensor, pack_nibbles, unpack_nibbles

__all__ = [
    "DENSE_DTYPES",
    "FLOATS",
    "Weight",
    "apply_scale",
    "from_dense",
    "row_blocks",
]

FLOATS = ("float32", "float16", "bfloat16")  # what is trained and run
DENSE_DTYPES = (*FLOATS, "int8", "float8_e4m3fn", "float8_e5m2")

# pattern -> elements in a group, stored places of a group (docs/format.md).
_GEOMETRY = {"2:4": (4, 2), "1:2": (2, 1), "4:8": (8, 2)}
_BLOCK_ELEMENTS = 2**20  # of a dense matrix, worked on at a time


@dataclass(frozen=True, eq=False)
class Weight:
    """A compressed matrix [M, K], or several of one shape on top of each other (experts).

    Attributes:
        values, metadata: canonical (docs/format.md), 2-D: the rows of all matrices. int4 of pattern
            2:4 holds a group's two values in a byte, the first in the low nibble.
        shape: that of the dense parameter; its last extent is K.
        pattern: "2:4", "1:2" or "4:8".
        dtype: the stored elements' type, such as "bfloat16" or "int4".
        scale: float32 [rows] or [1], or a 16-bit float [rows, ceil(K / group_size)], or None.
        group_size: elements of K that share a scale, or None.
        dense_dtype: the type of the dense parameter, scale applied; of DENSE_DTYPES.
    """

    values: Array
    metadata: Array
    shape: tuple[int, ...]
    pattern: str
    dtype: str
    dense_dtype: str
    scale: Array | None = None
    group_size: int | None = None

    @property
    def rows(self) -> int:
        """Rows of all matrices together."""
        return math.prod(self.shape[:-1])

    @property
    def k(self) -> int:
        """Length of a row, never halved."""
        return self.shape[-1]

    @property
    def stored_extents(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The shapes that values and metadata must have."""
        return stored_extents(self.rows, self.k, self.pattern, self.dtype)

    def sparse24(self) -> Sparse24Tensor:
        """The matrix, or all matrices on top of each other, as a Sparse24Tensor of NumPy arrays."""
        packed = self.dtype in ("int4", "uint4")
        return Sparse24Tensor(
            self.values,
            self.metadata,
            (self.rows, self.k),
            pattern=self.pattern,
            dtype=self.dtype if packed else None,
            scale=self.scale,
            group_size=self.group_size,
        )

    def widened(self) -> Weight:
        """int4 of pattern 2:4 as int8; any other as it is."""
        if self.dtype != "int4" or self.pattern != "2:4":
            return self
        values = unpack_nibbles(self.values, 2 * self.values.shape[1], ml_dtypes.int4)
        return replace(self, values=values.astype(np.int8), dtype="int8")

    def unscaled(self) -> Weight:
        """Without its scale."""
        return replace(self, scale=None, group_size=None)

    def narrowed(self) -> Weight:
        """int8 of pattern 2:4 as int4, whose range the values must keep."""
        if self.values.size and (self.values.min() < -8 or self.values.max() > 7):
            raise CheckpointError("values are out of the range of int4")
        return replace(self, values=pack_nibbles(self.values), dtype="int4")

    def elements(self) -> Array:
        """The stored elements placed in a dense [rows, K], unscaled; 4-bit types as int8."""
        dense = self.unscaled().widened().sparse24().to_dense()
        return np.asarray(dense.astype(np.int8) if self.dtype in ("int4", "uint4") else dense)

    def to_dense(self) -> Array:
        """The dense parameter, in `shape` and `dense_dtype`."""
        dense = self.elements()
        if self.scale is not None:
            dense = apply_scale(dense, self.scale, self.group_size, self.dense_dtype)
        return dense.astype(np.dtype(self.dense_dtype), copy=False).reshape(self.shape)


def stored_extents(
    rows: int, k: int, pattern: str, dtype: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The shapes of canonical values and metadata of a matrix [rows, k]."""
    group, kept = _GEOMETRY[pattern]
    groups = -(-k // group)
    columns = groups if dtype == "int4" and pattern == "2:4" else kept * groups
    return (rows, columns), (rows, -(-groups // 2))


def row_blocks(rows: int, k: int) -> list[slice]:
    """Slices of rows, each a bounded number of elements."""
    if not k:
        return []
    step = max(1, _BLOCK_ELEMENTS // k)
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def apply_scale(elements: Array, scale: Array, group_size: int | None, dtype: str) -> Array:
    """elements [rows, K] times their scale, rounded once."""
    rows, k = elements.shape
    out = np.empty((rows, k), np.dtype(dtype))
    for block in row_blocks(rows, k):
        factor = scale if scale.shape[0] == 1 and group_size is None else scale[block]
        factor = factor.astype(np.float32)
        wide = factor[:, None] if group_size is None else factor.repeat(group_size, axis=1)[:, :k]
        with np.errstate(over="ignore", invalid="ignore"):
            out[block] = (elements[block].astype(np.float32) * wide).astype(out.dtype)
    return out


def from_dense(
    dense: Array,
    *,
    scale: Array | None = None,
    group_size: int | None = None,
    dense_dtype: str | None = None,
) -> Weight | None:
    """A dense parameter [..., M, K] as a Weight; None if it is not 2:4 along K."""
    name = dense.dtype.name
    if dense.ndim not in (2, 3) or name not in DENSE_DTYPES or 0 in dense.shape:
        return None
    rows, k = math.prod(dense.shape[:-1]), dense.shape[-1]
    values_extents, metadata_extents = stored_extents(rows, k, "2:4", name)
    values = np.empty(values_extents, dense.dtype)
    metadata = np.empty(metadata_extents, np.uint8)
    matrix = dense.reshape(rows, k)
    for block in row_blocks(rows, k):
        try:
            part = compress(np.ascontiguousarray(matrix[block]), backend="cpu")
        except SparsityError:
            return None
        values[block], metadata[block] = part.values, part.metadata
    shape: tuple[Any, ...] = tuple(dense.shape)
    return Weight(values, metadata, shape, "2:4", name, dense_dtype or name, scale, group_size)
