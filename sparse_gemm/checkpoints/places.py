"""From any writer's nibbles and values to the canonical form.

Writers differ in which places they name for a group with fewer than two non-zeros, and some name
one place twice. What counts is the decoded matrix: each block of rows is decoded, and compressed
again by the one rule of docs/format.md.
"""

from __future__ import annotations

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.checkpoints.weight import Weight, row_blocks, stored_extents
from sparse_gemm.format.compression import compress

__all__ = ["canonical_weight", "nibbles_of", "packed_nibbles", "require_matrix"]


def require_matrix(name: str, array: Array, dtypes: tuple[str, ...]) -> tuple[int, int]:
    """The extents of a non-empty matrix of one of these types.

    Raises:
        CheckpointError: it is none.
    """
    if array.dtype.name not in dtypes:
        raise CheckpointError(f"{name} has dtype {array.dtype}; expected {' or '.join(dtypes)}")
    if array.ndim != 2 or 0 in array.shape:
        raise CheckpointError(f"{name} has shape {array.shape}; expected a non-empty matrix")
    return int(array.shape[0]), int(array.shape[1])


def nibbles_of(metadata: Array, groups: int) -> Array:
    """Canonical metadata bytes [M, ceil(groups / 2)] -> one nibble a byte, [M, groups]."""
    pairs = np.stack([metadata & 0xF, metadata >> 4], axis=-1)
    return pairs.reshape(len(metadata), -1)[:, :groups]


def packed_nibbles(nibbles: Array) -> Array:
    """The inverse of `nibbles_of`; the spare nibble of an odd number of groups is 0xE."""
    if nibbles.shape[1] % 2:
        nibbles = np.pad(nibbles, ((0, 0), (0, 1)), constant_values=0xE)
    return np.ascontiguousarray(nibbles[:, ::2] | nibbles[:, 1::2] << 4)


def canonical_weight(
    values: Array, nibbles: Array, *, pattern: str = "2:4", dense_dtype: str | None = None
) -> Weight:
    """A Weight from values [M, 2 * G] (1:2: [M, G]) and the groups' nibbles [M, G], in any order.

    A nibble is first place | second place << 2, whatever their order; two equal places are fine as
    long as one of the values is zero, which is then no value at all.

    Raises:
        CheckpointError: a group holds two non-zeros in one place.
    """
    rows, groups = nibbles.shape
    k = groups * (4 if pattern == "2:4" else 2)
    name = values.dtype.name
    values_extents, metadata_extents = stored_extents(rows, k, pattern, name)
    if values.shape != values_extents:
        raise CheckpointError(f"values have shape {values.shape}; expected {values_extents}")
    canonical = np.empty(values_extents, values.dtype)
    metadata = np.empty(metadata_extents, np.uint8)
    decode = _dense_2_of_4 if pattern == "2:4" else _dense_1_of_2
    for block in row_blocks(rows, k):
        dense = decode(np.ascontiguousarray(values[block]), nibbles[block], block.start)
        part = compress(dense, pattern=pattern, backend="cpu")
        canonical[block], metadata[block] = part.values, part.metadata
    return Weight(canonical, metadata, (rows, k), pattern, name, dense_dtype or name)


def _non_zero(values: Array) -> Array:
    """Whether each element is neither +0 nor -0; nan is not zero."""
    bits = values.view(np.dtype(f"u{values.dtype.itemsize}"))
    is_integer = values.dtype.kind in "iu"
    return np.asarray((bits if is_integer else (bits << 1).astype(bits.dtype)) != 0)


def _dense_2_of_4(values: Array, nibbles: Array, first_row: int) -> Array:
    rows, groups = nibbles.shape
    pairs = values.reshape(rows, groups, 2)
    first, second = nibbles & 3, nibbles >> 2
    present = _non_zero(pairs)
    _refuse((first == second) & present.all(axis=-1), first_row)
    dense = np.zeros((rows, groups, 4), values.dtype)
    np.put_along_axis(dense, first[..., None].astype(np.intp), pairs[..., :1], axis=-1)
    at = np.nonzero(present[..., 1])
    rows_at, groups_at = at
    dense[rows_at, groups_at, second[at]] = pairs[..., 1][at]
    return dense.reshape(rows, 4 * groups)


def _dense_1_of_2(values: Array, nibbles: Array, first_row: int) -> Array:
    first, second = (nibbles & 3) >> 1, nibbles >> 3
    _refuse((first != second) & _non_zero(values), first_row)
    rows, groups = nibbles.shape
    dense = np.zeros((rows, groups, 2), values.dtype)
    np.put_along_axis(dense, first[..., None].astype(np.intp), values[..., None], axis=-1)
    return dense.reshape(rows, 2 * groups)


def _refuse(wrong: Array, first_row: int) -> None:
    if wrong.any():
        row, group = (int(index) for index in np.argwhere(wrong)[0])
        raise CheckpointError(
            f"row {first_row + row}, group {group}: the metadata do not fit the values, of which "
            "two would stand in one place: another layout, or damaged"
        )
