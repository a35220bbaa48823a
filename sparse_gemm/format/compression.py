"""prune, check and compress: a dense matrix becomes 2:4, is checked, is stored compressed.

A batch of matrices [B, M, K] is one of B * M rows to most of this: only its packed storage is not.

The rules (which elements are kept, what is stored for groups with fewer non-zeros, what counts as
zero) are in docs/format.md; `sparse_gemm.reference` is the same in plain NumPy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sparse_gemm import _C
from sparse_gemm.arrays import NUMPY_DTYPES, Array, ArrayKind, adopted, available_threads, kind_of
from sparse_gemm.arrays.devices import CPU, device_for
from sparse_gemm.errors import SparsityError
from sparse_gemm.format import device_format
from sparse_gemm.format.device_format import DenseView, matrix_of, matrix_on
from sparse_gemm.format.patterns import (
    PACKED_DTYPES,
    PATTERNS,
    pack_nibbles,
    pattern_of,
    unpack_nibbles,
)
from sparse_gemm.format.tensor import Sparse24Tensor

_POLICIES = {"raise": _C.Policy.raise_, "prune": _C.Policy.prune}


@dataclass
class _DenseMatrix:
    """A dense matrix argument, ready for the C++ side; `held` keeps its memory alive."""

    kind: ArrayKind
    held: Array  # [rows of all matrices, K]
    dtype: _C.DType
    shape: tuple[int, ...]
    device: int  # CPU, or the CUDA device that works on it

    @property
    def k(self) -> int:
        """Elements of a row."""
        return self.shape[-1]

    @property
    def rows(self) -> int:
        """Those of all matrices."""
        return math.prod(self.shape[:-1])

    @property
    def view(self) -> DenseView:
        """What the functions of `_C` take first."""
        strides = self.kind.strides(self.held)
        address = self.kind.address(self.held)
        return DenseView(address, self.dtype, self.rows, self.k, *strides)

    @property
    def packed(self) -> bool:
        """Whether `held` is two elements a byte."""
        return self.dtype in PACKED_DTYPES

    def empty(self, columns: int) -> Array:
        """A new array [..., columns] of the storage dtype, beside `held`."""
        return self.kind.empty(self.held, (*self.shape[:-1], columns), self.held.dtype)


def _dense_matrix(w: Array, pattern: _C.Pattern, backend: str) -> _DenseMatrix:
    w = adopted(w, "w")
    kind = kind_of(w, "w")
    shape = tuple(int(extent) for extent in w.shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"w has shape {shape}; expected a matrix [M, K] or a batch [B, M, K]")
    dtype = kind.dtypes.get(w.dtype)
    if dtype is None or not _C.supports(pattern, dtype):
        name = next(name for name, code in PATTERNS.items() if code == pattern)
        accepted = [d.name for d in kind.native_dtypes if _C.supports(pattern, d)] or ["none"]
        raise TypeError(
            f"w has dtype {w.dtype}; expected one of {', '.join(accepted)}, in native byte order, "
            f"for pattern {name} and {kind.name} arrays: convert it"
        )
    kind.require_strided(w, "w")
    device = device_for(kind, w, "w", backend)
    if device != CPU and not _C.packed_supports(pattern, dtype):
        raise device_format.unsupported(matrix_of(pattern, dtype, shape), "w")
    if len(shape) == 3:  # a copy, if the rows do not lie at one stride
        w = w.reshape(math.prod(shape[:-1]), shape[-1])
    held = pack_nibbles(kind.to_numpy(w)) if dtype in PACKED_DTYPES else kind.materialize(w)
    return _DenseMatrix(kind, held, dtype, shape, device)


def _first_violation(matrix: _DenseMatrix, pattern: str) -> tuple[int, int] | None:
    """Row and group of the first group with too many non-zeros; waits for a device."""
    code = pattern_of(pattern)
    if matrix.device == CPU:
        return _C.check(*matrix.view, code, available_threads())
    kind, device = matrix.kind, matrix.device
    group = device_format.check(kind, matrix.held, matrix.view, code, device)
    return None if group < 0 else _position(matrix, pattern, group)


def _violation(matrix: _DenseMatrix, pattern: str, position: tuple[int, int]) -> SparsityError:
    row, group = position
    group_size = int(pattern.split(":")[1])
    columns = slice(group * group_size, (group + 1) * group_size)
    if matrix.packed:
        dtype = NUMPY_DTYPES[matrix.dtype]
        values = unpack_nibbles(matrix.held[row : row + 1], matrix.k, dtype)[0, columns]
    else:
        values = matrix.kind.to_numpy(matrix.held[row, columns])
    batch = None
    if len(matrix.shape) == 3:
        batch, row = divmod(row, matrix.shape[1])
    elements = [float(value) for value in values]
    error = SparsityError.for_group(
        pattern=pattern, row=row, group=group, values=elements, batch=batch
    )
    if matrix.dtype == _C.DType.int4 and pattern == "4:8" and not _first_violation(matrix, "2:4"):
        hint = (
            " The matrix is 2:4, but not pairwise 4:8: for int4 x int4 keep pairs, as "
            "sparse_gemm.prune(w, pattern='4:8') does; compressed with pattern='2:4' it multiplies "
            "float16 and bfloat16 activations."
        )
        message = f"{error}{hint}"
        error = SparsityError(message, row=row, group=group, values=error.values, batch=batch)
    return error


def _position(matrix: _DenseMatrix, pattern: str, flat_group: int) -> tuple[int, int]:
    """Row and group of a group counted through all rows."""
    groups_of_row = -(-matrix.k // int(pattern.split(":")[1]))
    return divmod(flat_group, groups_of_row)


def prune(w: Array, *, pattern: str = "2:4", backend: str = "auto") -> Array:
    """A copy of `w` with all but the largest magnitudes of each group set to zero.

    Args:
        w: array or tensor [M, K] or [B, M, K], any strides; float32, float16, bfloat16, int8,
            float8_e4m3fn or float8_e5m2 for "2:4", float32 for "1:2", and NumPy arrays of
            ml_dtypes.int4 for "2:4" and "4:8" or of uint4 for "4:8". On a CUDA device not float32
            for "2:4", nor uint4.
        pattern: "2:4", "1:2" or "4:8" (pairs of elements are kept or pruned together, by the sum
            of their squares).
        backend: "auto" follows the device of `w`; "cpu" | "cuda".

    Returns:
        A contiguous array of the same kind, dtype and shape, on the same device. Ties keep the
        lower index; nan counts as the largest; kept elements keep their bits.

    Raises:
        TypeError, ValueError: `w` is no matrix or batch of a type that the pattern takes.
        UnsupportedError: the backend does not take this type, or is not to be had.
    """
    code = pattern_of(pattern)
    matrix = _dense_matrix(w, code, backend)
    kind = matrix.kind
    if matrix.device != CPU:
        out = device_format.prune(kind, matrix.held, matrix.view, code, matrix.device)
        out = out.reshape(*matrix.shape[:-1], out.shape[-1])
    else:
        out = matrix.empty((matrix.k + 1) // 2 if matrix.packed else matrix.k)
        _C.prune(*matrix.view, code, kind.address(out), available_threads())
    if not matrix.packed:
        return out
    rows = out.reshape(matrix.rows, out.shape[-1])
    return unpack_nibbles(rows, matrix.k, w.dtype).reshape(matrix.shape)


def check(w: Array, *, pattern: str = "2:4", backend: str = "auto") -> None:
    """Checks that `w` (see `prune`) holds no more non-zeros in a group than are kept.

    On a CUDA device this waits for the current stream: the answer has to be read.

    Raises:
        SparsityError: names the first violating row (of a batch: of which matrix), its group and
            the group's values.
        TypeError, ValueError, UnsupportedError: as `prune`.
    """
    code = pattern_of(pattern)
    matrix = _dense_matrix(w, code, backend)
    position = _first_violation(matrix, pattern)
    if position is not None:
        raise _violation(matrix, pattern, position)


def compress(
    w: Array, *, pattern: str = "2:4", policy: str = "raise", backend: str = "auto"
) -> Sparse24Tensor:
    """Compresses `w` [M, K] or [B, M, K] (see `prune`): values plus metadata, in one pass.

    Args:
        w: the dense matrix, or a batch of them, zeros where pruned. K need not be a multiple of the
            group size: it is padded with zeros in storage, and the true K is kept.
        pattern: "2:4", "1:2" or "4:8".
        policy: what to do with a group that holds too many non-zeros: "raise" an error (on a CUDA
            device this waits for the current stream), or "prune" it by magnitude, as `prune` does.
        backend: "auto" follows the device of `w`; "cpu" | "cuda".

    Returns:
        A Sparse24Tensor on the device of `w`, sharing no memory with it.

    Raises:
        SparsityError: with policy "raise", names the first violating row, group and its values.
        TypeError, ValueError, UnsupportedError: as `prune`.
    """
    code = pattern_of(pattern)
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise ValueError(f"policy is {policy!r}; expected one of {', '.join(_POLICIES)}")
    matrix = _dense_matrix(w, code, backend)
    if matrix.device != CPU:
        return _compress_on_device(matrix, pattern, _POLICIES[policy])
    kind = matrix.kind
    values = matrix.empty(_C.k_compressed(code, matrix.dtype, matrix.k))
    metadata_shape = (*matrix.shape[:-1], _C.metadata_row_bytes(code, matrix.k))
    metadata = kind.empty(matrix.held, metadata_shape, kind.uint8)
    position = _C.compress(
        *matrix.view,
        code,
        _POLICIES[policy],
        kind.address(values),
        kind.address(metadata),
        available_threads(),
    )
    if position is not None:
        raise _violation(matrix, pattern, position)
    return Sparse24Tensor(
        values,
        metadata,
        matrix.shape,
        pattern=pattern,
        dtype=matrix.dtype.name if matrix.packed else None,
        validate=False,
    )


def _compress_on_device(matrix: _DenseMatrix, pattern: str, policy: _C.Policy) -> Sparse24Tensor:
    device = matrix.device
    packed = matrix_on(device, pattern_of(pattern), matrix.dtype, matrix.shape)
    values, metadata, group = device_format.compress(
        matrix.kind, matrix.held, matrix.view, packed, policy, device
    )
    if group >= 0:
        raise _violation(matrix, pattern, _position(matrix, pattern, group))
    return Sparse24Tensor._of_parts(values, metadata, matrix.shape, pattern, cuda=device)
