"""Sparse24Tensor: a compressed matrix, as values plus metadata in canonical order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparse_gemm import _C
from sparse_gemm.arrays import (
    NUMPY_DTYPES,
    Array,
    ArrayKind,
    available_threads,
    kind_of,
    require_same_kind,
)
from sparse_gemm.errors import SparsityError, UnsupportedError

PATTERNS: dict[str, _C.Pattern] = {
    "2:4": _C.Pattern.k2of4,
    "1:2": _C.Pattern.k1of2,
    "4:8": _C.Pattern.k4of8,
}
PACKED_DTYPES = (_C.DType.int4, _C.DType.uint4)  # stored two to a byte, in uint8


def pattern_of(pattern: str) -> _C.Pattern:
    """The pattern called `pattern`.

    Raises:
        ValueError: no such pattern.
    """
    found = PATTERNS.get(pattern) if isinstance(pattern, str) else None
    if found is None:
        raise ValueError(f"pattern is {pattern!r}; expected one of {', '.join(PATTERNS)}")
    return found


class Sparse24Tensor:
    """A structured-sparse matrix A [M, K] in canonical compressed storage (docs/format.md).

    Made by `sparse_gemm.compress`; construct one directly from stored parts. Treat it as constant:
    nothing here changes one, and what was checked is not checked again. The parts are NumPy arrays
    or torch tensors, not copied.

    Attributes:
        values: the kept elements, row-major: `[M, 2*ceil(K/4)]` for 2:4, `[M, ceil(K/2)]` for 1:2,
            uint8 `[M, 2*ceil(K/8)]` for 4:8 (two 4-bit elements a byte, low nibble first).
        metadata: their positions, uint8, one nibble a group, earliest group in the low nibble:
            `[M, ceil(groups/2)]` with groups = ceil(K/4), ceil(K/2) or ceil(K/8).
        shape: the dense shape (M, K). K is the logical length, never halved.
        dtype: the dense elements' dtype, as the array library names it.
        pattern: "2:4", "1:2" or "4:8".
        scale: float32 `[M]` or `[1]`, the factor of each row in `linear` and `matmul`, or None.
        group_size: elements of K that share a scale; None, a whole row, is all that there is yet.
    """

    __slots__ = (
        "_dtype_code",
        "_kind",
        "_pattern_code",
        "_pattern_number",
        "dtype",
        "group_size",
        "metadata",
        "pattern",
        "scale",
        "shape",
        "values",
    )

    def __init__(
        self,
        values: Array,
        metadata: Array,
        shape: tuple[int, int],
        *,
        pattern: str = "2:4",
        dtype: Any = None,
        scale: Array | None = None,
        group_size: int | None = None,
        validate: bool = True,
    ) -> None:
        """Takes stored parts as they are.

        Args:
            values, metadata, shape, pattern, scale, group_size: see the attributes.
            dtype: the dense dtype, needed for 4:8 alone ("int4", the default, or "uint4").
            validate: check everything, the metadata's every nibble included. Pass False only for
                parts that come from this package.

        Raises:
            TypeError: an argument is no array, or of another kind or dtype than it must be.
            ValueError: a wrong shape, device or layout, or metadata that names no positions.
        """
        self._kind: ArrayKind = kind_of(values, "values")
        self._pattern_code = pattern_of(pattern)
        self.values = values
        self.metadata = metadata
        if not isinstance(shape, Sequence) or len(shape) != 2:
            raise ValueError(f"shape is {shape!r}; expected (M, K)")
        self.shape = (int(shape[0]), int(shape[1]))
        self.pattern = pattern
        self.scale = scale
        self.group_size = group_size
        self._dtype_code, self.dtype = self._find_dtype(dtype)
        self._pattern_number = int(self._pattern_code)  # as `_C.gemm` takes it
        if validate:
            self._validate()

    def _find_dtype(self, dtype: Any) -> tuple[_C.DType, Any]:
        if self.pattern != "4:8":
            if dtype is not None and self._kind.native(dtype, "dtype") != self.values.dtype:
                raise TypeError(f"dtype is {dtype!r}; expected {self.values.dtype}, as values has")
            return self._kind.dtype_of(self.values, "values"), self.values.dtype
        for code in PACKED_DTYPES:
            if dtype in (code.name, None) or dtype == NUMPY_DTYPES[code]:
                break
        else:
            raise TypeError(f"dtype is {dtype!r}; expected int4 or uint4 for pattern 4:8")
        return code, self._kind.native_dtypes.get(code, code.name)

    def _validate(self) -> None:
        rows, k = self.shape
        if rows < 0 or k < 0:
            raise ValueError(f"shape is {self.shape}; expected (M, K), neither negative")
        if not _C.supports(self._pattern_code, self._dtype_code):
            raise TypeError(
                f"values has dtype {self.values.dtype}, which has no {self.pattern} form"
            )
        require_same_kind(self._kind, self.device, metadata=self.metadata, scale=self.scale)
        self._validate_part("values", self.values, _C.k_compressed(self._pattern_code, k))
        self._validate_part("metadata", self.metadata, _C.metadata_row_bytes(self._pattern_code, k))
        if str(self.metadata.dtype).rpartition(".")[2] != "uint8":
            raise TypeError(f"metadata has dtype {self.metadata.dtype}; expected uint8")
        self._validate_scale()
        if self.device == "cpu":
            self._validate_nibbles()

    def _validate_part(self, name: str, part: Array, columns: int) -> None:
        expected = (self.shape[0], columns)
        if tuple(part.shape) != expected:
            raise ValueError(
                f"{name} has shape {tuple(part.shape)}; expected {expected} for a {self.pattern} "
                f"matrix of shape {self.shape}"
            )
        if 0 not in expected and self._kind.strides(part) != (columns, 1):
            raise ValueError(
                f"{name} has strides {self._kind.strides(part)}; expected a contiguous row-major "
                "array: make a contiguous copy"
            )

    def _validate_scale(self) -> None:
        if self.group_size is not None:
            raise UnsupportedError(
                f"group_size is {self.group_size!r}; expected None: no backend at hand multiplies "
                "with a scale for each group"
            )
        if self.scale is None:
            return
        if self._kind.dtypes.get(self.scale.dtype) != _C.DType.float32:
            raise TypeError(f"scale has dtype {self.scale.dtype}; expected float32")
        if tuple(self.scale.shape) not in ((self.shape[0],), (1,)):
            raise ValueError(
                f"scale has shape {tuple(self.scale.shape)}; expected ({self.shape[0]},) or (1,)"
            )

    def _validate_nibbles(self) -> None:
        rows, k = self.shape
        address = self._kind.address(self.metadata)
        found = _C.check_metadata(address, self._pattern_code, rows, k, available_threads())
        if found is None:
            return
        row, group = found
        byte = int(self._kind.to_numpy(self.metadata[row, group // 2]))
        nibble = byte >> 4 if group % 2 else byte & 0xF
        meaningful = "0x4 or 0xE" if self.pattern == "1:2" else "0x4, 0x8, 0xC, 0x9, 0xD or 0xE"
        raise SparsityError(
            f"metadata is not {self.pattern} metadata: row {row}, group {group} holds "
            f"0x{nibble:X}; expected {meaningful} (two positions, the lower first)",
            row=row,
            group=group,
            values=(nibble,),
        )

    @property
    def device(self) -> str:
        """Where the parts are, such as "cpu" or "cuda:0"."""
        return self._kind.device(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of values, metadata and scale."""
        parts = (self.values, self.metadata, self.scale)
        return sum(int(part.nbytes) for part in parts if part is not None)

    def to_dense(self) -> Array:
        """The dense matrix [M, K], zeros where nothing is stored, unscaled; a new array.

        4-bit types come as NumPy arrays of ml_dtypes.int4 or uint4.
        """
        rows, k = self.shape
        if self.device != "cpu":
            raise UnsupportedError(
                f"the matrix is on {self.device}, and this build has the cpu backend alone"
            )
        packed = self._dtype_code in PACKED_DTYPES
        dense_dtype = self.values.dtype
        dense = self._kind.empty(self.values, (rows, (k + 1) // 2 if packed else k), dense_dtype)
        _C.decompress(
            self._kind.address_of(self.values, "values"),
            self._kind.address_of(self.metadata, "metadata"),
            self._dtype_code,
            self._pattern_code,
            rows,
            k,
            self._kind.address(dense),
            available_threads(),
        )
        return unpack_nibbles(dense, k, self.dtype) if packed else dense

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles the parts; they are checked again when they come back."""
        dtype = self._dtype_code.name if self._dtype_code in PACKED_DTYPES else None
        parts = (self.values, self.metadata, self.shape, self.pattern, dtype, self.scale)
        return (_rebuild, (*parts, self.group_size))

    def __repr__(self) -> str:
        """Such as `Sparse24Tensor(4096x4096, 2:4 float16, 18.9 MB, cpu)`."""
        rows, k = self.shape
        return (
            f"Sparse24Tensor({rows}x{k}, {self.pattern} {self._dtype_code.name}, "
            f"{self.nbytes / 1e6:.1f} MB, {self.device})"
        )


def _rebuild(
    values: Array,
    metadata: Array,
    shape: tuple[int, int],
    pattern: str,
    dtype: str | None,
    scale: Array | None,
    group_size: int | None,
) -> Sparse24Tensor:
    return Sparse24Tensor(
        values, metadata, shape, pattern=pattern, dtype=dtype, scale=scale, group_size=group_size
    )


def pack_nibbles(w: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """4-bit elements [M, K], one a byte -> uint8 [M, ceil(K/2)], the earlier in the low nibble."""
    nibbles = w.astype(np.int8).view(np.uint8) & 0xF
    if nibbles.shape[1] % 2:
        nibbles = np.pad(nibbles, ((0, 0), (0, 1)))
    return np.ascontiguousarray(nibbles[:, ::2] | (nibbles[:, 1::2] << 4))


def unpack_nibbles(packed: np.ndarray[Any, Any], k: int, dtype: Any) -> np.ndarray[Any, Any]:
    """The inverse of `pack_nibbles`: uint8 [M, ceil(K/2)] -> `dtype` [M, K]."""
    nibbles = np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(packed.shape[0], -1)[:, :k]
    if np.dtype(dtype).name == "int4":
        nibbles = (nibbles.astype(np.int8) ^ 8) - 8  # sign extension
    return nibbles.astype(dtype)
