"""prune, check, compress and decompress on a CUDA device, and the packed storage that kernels read.

Packed storage is a permutation of the canonical one (docs/format.md), padded to whole tiles: two
flat arrays. Everything here is queued on the array library's current stream; only `check`, and
`compress` with policy "raise", wait for it, to read one number back.
"""

from __future__ import annotations

from typing import NamedTuple

from sparse_gemm import _C
from sparse_gemm.arrays import Array, ArrayKind
from sparse_gemm.errors import UnsupportedError

_NO_VIOLATION = 2**63 - 1


class Matrix(NamedTuple):
    """What a matrix is, wherever it is stored."""

    pattern: _C.Pattern
    dtype: _C.DType
    rows: int
    k: int


class DenseView(NamedTuple):
    """A dense matrix on a device, as the functions of `_C` take it."""

    address: int
    dtype: _C.DType
    rows: int
    k: int
    row_stride: int
    col_stride: int


def unsupported(matrix: Matrix, name: str) -> UnsupportedError:
    """The error for a matrix, called `name`, of a type that no CUDA kernel takes yet."""
    pattern = matrix.pattern.name[1:].replace("of", ":")
    return UnsupportedError(
        f"{name} is {pattern} of {matrix.dtype.name}, for which the cuda backend has no kernel "
        "yet; expected 2:4 of float16 or bfloat16: convert it, or move it to the cpu"
    )


def _storage(kind: ArrayKind, like: Array, matrix: Matrix) -> tuple[Array, Array]:
    """Room for the packed values and metadata, beside `like`, which has the matrix's dtype."""
    values_bytes = _C.packed_values_bytes(*matrix)
    metadata_bytes = _C.packed_metadata_bytes(*matrix)
    values = kind.empty(like, (values_bytes // like.dtype.itemsize,), like.dtype)
    return values, kind.empty(like, (metadata_bytes,), kind.uint8)


def prune(kind: ArrayKind, w: Array, view: DenseView, pattern: _C.Pattern, device: int) -> Array:
    """A contiguous copy of `w` with the smallest places of each group set to +0."""
    out = kind.empty(w, (view.rows, view.k), w.dtype)
    _C.cuda_prune(*view, pattern, kind.address(out), device, kind.stream(device))
    return out


def check(kind: ArrayKind, w: Array, view: DenseView, pattern: _C.Pattern, device: int) -> int:
    """The first group of `w`, counted row by row, with too many non-zeros, or -1; waits."""
    violation = kind.filled_int64(w, _NO_VIOLATION)
    address = kind.address(violation)
    _C.cuda_check(*view, pattern, address, device, kind.stream(device))
    return _read(violation)


def compress(
    kind: ArrayKind, w: Array, view: DenseView, pattern: _C.Pattern, policy: _C.Policy, device: int
) -> tuple[Array, Array, int]:
    """Packed values and metadata of `w`, and what `check` gives (policy prune: -1, no waiting)."""
    values, metadata = _storage(kind, w, Matrix(pattern, view.dtype, view.rows, view.k))
    raises = policy == _C.Policy.raise_
    violation = kind.filled_int64(w, _NO_VIOLATION) if raises else None
    _C.cuda_compress(
        *view,
        pattern,
        policy,
        kind.address(values),
        kind.address(metadata),
        0 if violation is None else kind.address(violation),
        device,
        kind.stream(device),
    )
    return values, metadata, -1 if violation is None else _read(violation)


def _read(violation: Array) -> int:
    found = int(violation[0])
    return -1 if found == _NO_VIOLATION else found


def decompress(
    kind: ArrayKind, values: Array, metadata: Array, matrix: Matrix, device: int
) -> Array:
    """The dense matrix [rows, k] of packed storage."""
    dense = kind.empty(values, (matrix.rows, matrix.k), values.dtype)
    _C.cuda_decompress(
        kind.address(values),
        kind.address(metadata),
        matrix.dtype,
        matrix.pattern,
        matrix.rows,
        matrix.k,
        kind.address(dense),
        device,
        kind.stream(device),
    )
    return dense


def pack(
    kind: ArrayKind, values: Array, metadata: Array, matrix: Matrix, device: int
) -> tuple[Array, Array]:
    """Packed storage of canonical parts."""
    packed_values, packed_metadata = _storage(kind, values, matrix)
    _C.cuda_pack(
        kind.address_of(values, "values"),
        kind.address_of(metadata, "metadata"),
        matrix.dtype,
        matrix.pattern,
        matrix.rows,
        matrix.k,
        kind.address(packed_values),
        kind.address(packed_metadata),
        device,
        kind.stream(device),
    )
    return packed_values, packed_metadata


def unpack(
    kind: ArrayKind, values: Array, metadata: Array, matrix: Matrix, device: int
) -> tuple[Array, Array]:
    """Canonical parts of packed storage."""
    columns = _C.k_compressed(matrix.pattern, matrix.k)
    row_bytes = _C.metadata_row_bytes(matrix.pattern, matrix.k)
    canonical_values = kind.empty(values, (matrix.rows, columns), values.dtype)
    canonical_metadata = kind.empty(values, (matrix.rows, row_bytes), kind.uint8)
    _C.cuda_unpack(
        kind.address(values),
        kind.address(metadata),
        matrix.dtype,
        matrix.pattern,
        matrix.rows,
        matrix.k,
        kind.address(canonical_values),
        kind.address(canonical_metadata),
        device,
        kind.stream(device),
    )
    return canonical_values, canonical_metadata
