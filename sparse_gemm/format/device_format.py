"""prune, check, compress and decompress on a CUDA device, and the packed storage that kernels read.

Packed storage is a permutation of the canonical one (docs/format.md), padded to whole tiles: flat
arrays, in which the matrices of a batch lie one after another. Whatever is canonical or dense has
the rows of the whole batch here: [batch * rows, ...]. 4:8 has twice the values where the device has
no 4-bit `mma.sp`. Everything here is queued on the array library's current stream; only `check`,
and `compress` with policy "raise", wait for it, to read one number back.
"""

from __future__ import annotations

from typing import NamedTuple

from sparse_gemm import _C
from sparse_gemm.arrays import Array, ArrayKind
from sparse_gemm.errors import UnsupportedError

_NO_VIOLATION = 2**63 - 1


class Matrix(NamedTuple):
    """What a matrix is, wherever it is stored, or each of a batch."""

    pattern: _C.Pattern
    dtype: _C.DType
    rows: int
    k: int
    as_8_bit: bool = False  # packed 4:8 of a device without 4-bit mma.sp
    batch: int = 1

    @property
    def all_rows(self) -> int:
        """Those of the whole batch."""
        return self.batch * self.rows


def stores_as_8_bit(pattern: _C.Pattern, device: int) -> bool:
    """Whether that CUDA device is to have such a matrix packed as 2:4 of int8: 4:8 where the 4-bit
    `mma.sp` of sm_80 to sm_89 is no longer there."""
    return pattern == _C.Pattern.k4of8 and _C.cuda_device(device).capability >= (9, 0)


def matrix_of(pattern: _C.Pattern, dtype: _C.DType, shape: tuple[int, ...]) -> Matrix:
    """The matrix, or batch of them, of that shape, canonical."""
    batch = shape[0] if len(shape) == 3 else 1
    return Matrix(pattern, dtype, shape[-2], shape[-1], batch=batch)


def matrix_on(device: int, pattern: _C.Pattern, dtype: _C.DType, shape: tuple[int, ...]) -> Matrix:
    """The same as that CUDA device has it packed."""
    as_8_bit = stores_as_8_bit(pattern, device)
    return matrix_of(pattern, dtype, shape)._replace(as_8_bit=as_8_bit)


class DenseView(NamedTuple):
    """A dense matrix on a device, as the functions of `_C` take it."""

    address: int
    dtype: _C.DType
    rows: int
    k: int
    row_stride: int
    col_stride: int


def unsupported(matrix: Matrix, name: str) -> UnsupportedError:
    """The error for a matrix, called `name`, of a type that no CUDA kernel takes."""
    pattern = matrix.pattern.name[1:].replace("of", ":")
    if matrix.dtype == _C.DType.float32:
        advice = (
            "expected float16 or bfloat16 (.half(), .bfloat16()), or float32 with pattern='1:2', "
            "multiplied as tf32"
        )
    elif matrix.dtype == _C.DType.uint4:
        advice = "convert it to int4 or int8, or move it to the cpu"
    else:
        advice = "move it to the cpu"
    return UnsupportedError(
        f"{name} is {pattern} of {matrix.dtype.name}, for which the cuda backend has no kernel: "
        f"{advice}"
    )


def _storage(kind: ArrayKind, like: Array, matrix: Matrix) -> tuple[Array, Array]:
    """Room for the packed values and metadata, beside `like`, which has the dtype of the values."""
    values_bytes = matrix.batch * _C.packed_values_bytes(*matrix[:5])
    metadata_bytes = matrix.batch * _C.packed_metadata_bytes(*matrix[:5])
    values = kind.empty(like, (values_bytes // like.dtype.itemsize,), like.dtype)
    return values, kind.empty(like, (metadata_bytes,), kind.uint8)


def _columns(dtype: _C.DType, k: int) -> int:
    """Of a dense matrix in memory, where 4-bit elements share bytes."""
    return (k + 1) // 2 if dtype in (_C.DType.int4, _C.DType.uint4) else k


def prune(kind: ArrayKind, w: Array, view: DenseView, pattern: _C.Pattern, device: int) -> Array:
    """A contiguous copy of `w` with the smallest places of each group set to +0."""
    out = kind.empty(w, (view.rows, _columns(view.dtype, view.k)), w.dtype)
    _C.cuda_prune(*view, pattern, kind.address(out), device, kind.stream(device))
    return out


def check(kind: ArrayKind, w: Array, view: DenseView, pattern: _C.Pattern, device: int) -> int:
    """The first group of `w`, counted row by row, with too many non-zeros, or -1; waits."""
    violation = kind.filled_int64(w, _NO_VIOLATION)
    address = kind.address(violation)
    _C.cuda_check(*view, pattern, address, device, kind.stream(device))
    return _read(violation)


def compress(
    kind: ArrayKind, w: Array, view: DenseView, matrix: Matrix, policy: _C.Policy, device: int
) -> tuple[Array, Array, int]:
    """Packed values and metadata of `w`, which is `matrix`, and what `check` gives (policy prune:
    -1, no waiting)."""
    values, metadata = _storage(kind, w, matrix)
    raises = policy == _C.Policy.raise_
    violation = kind.filled_int64(w, _NO_VIOLATION) if raises else None
    _C.cuda_compress(
        *view,
        matrix.pattern,
        matrix.as_8_bit,
        matrix.batch,
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
    """The dense matrix of packed storage; 4-bit elements two to a byte."""
    columns = _columns(matrix.dtype, matrix.k)
    dense = kind.empty(values, (matrix.all_rows, columns), values.dtype)
    _C.cuda_decompress(
        *matrix,
        kind.address(values),
        kind.address(metadata),
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
        *matrix,
        kind.address_of(values, "values"),
        kind.address_of(metadata, "metadata"),
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
    columns = _C.k_compressed(matrix.pattern, matrix.dtype, matrix.k)
    row_bytes = _C.metadata_row_bytes(matrix.pattern, matrix.k)
    canonical_values = kind.empty(values, (matrix.all_rows, columns), values.dtype)
    canonical_metadata = kind.empty(values, (matrix.all_rows, row_bytes), kind.uint8)
    _C.cuda_unpack(
        *matrix,
        kind.address(values),
        kind.address(metadata),
        kind.address(canonical_values),
        kind.address(canonical_metadata),
        device,
        kind.stream(device),
    )
    return canonical_values, canonical_metadata


def pack_scales(
    kind: ArrayKind, scales: Array, matrix: Matrix, group_size: int, device: int
) -> Array:
    """Packed group scales of canonical ones [..., ceil(k / group_size)]."""
    packed_bytes = matrix.batch * _C.packed_scales_bytes(*matrix[:4], group_size)
    packed = kind.empty(scales, (packed_bytes // scales.dtype.itemsize,), scales.dtype)
    addresses = kind.address_of(scales, "scale"), kind.address(packed)
    scaled = (*matrix[:4], matrix.batch, group_size)
    _C.cuda_pack_scales(*scaled, *addresses, device, kind.stream(device))
    return packed


def unpack_scales(
    kind: ArrayKind, packed: Array, matrix: Matrix, group_size: int, device: int
) -> Array:
    """Canonical group scales of packed ones."""
    columns = -(-matrix.k // group_size)
    scales = kind.empty(packed, (matrix.all_rows, columns), packed.dtype)
    addresses = kind.address(packed), kind.address(scales)
    scaled = (*matrix[:4], matrix.batch, group_size)
    _C.cuda_unpack_scales(*scaled, *addresses, device, kind.stream(device))
    return scales
