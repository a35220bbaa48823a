"""Sparse24Tensor: a compressed matrix, as values plus metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparse_gemm import _C, device_format
from sparse_gemm.arrays import (
    NUMPY_DTYPES,
    Array,
    ArrayKind,
    adopted,
    available_threads,
    kind_of,
    require_same_kind,
)
from sparse_gemm.device_format import Matrix
from sparse_gemm.devices import CPU, check_backend, device_for
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
    """A structured-sparse matrix A [M, K] in compressed storage (docs/format.md).

    Made by `sparse_gemm.compress`; construct one directly from stored parts. Treat it as constant:
    nothing here changes one, and what was checked is not checked again. On the CPU the parts are
    held as they are, not copied. On a CUDA device that has a kernel for them they are held packed,
    in the order in which the kernels read them, and nowhere else.

    Attributes:
        values: the kept elements, row-major: `[M, 2*ceil(K/4)]` for 2:4, `[M, ceil(K/2)]` for 1:2,
            uint8 `[M, 2*ceil(K/8)]` for 4:8 (two 4-bit elements a byte, low nibble first). If they
            are held packed, a new array at every access, as is the metadata.
        metadata: their positions, uint8, one nibble a group, earliest group in the low nibble:
            `[M, ceil(groups/2)]` with groups = ceil(K/4), ceil(K/2) or ceil(K/8).
        shape: the dense shape (M, K). K is the logical length, never halved.
        dtype: the dense elements' dtype, as the array library names it.
        pattern: "2:4", "1:2" or "4:8".
        scale: float32 `[M]` or `[1]`, the factor of each row in `linear` and `matmul`, or None.
        group_size: elements of K that share a scale; None, a whole row, is all that there is yet.
    """

    __slots__ = (
        "_cuda",  # the device that holds the parts packed, or CPU: they are canonical
        "_dtype_code",
        "_kind",
        "_metadata",
        "_pattern_code",
        "_pattern_number",
        "_values",
        "dtype",
        "group_size",
        "pattern",
        "scale",
        "shape",
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
        backend: str = "auto",
    ) -> None:
        """Takes stored parts in canonical order.

        Args:
            values, metadata, shape, pattern, scale, group_size: see the attributes.
            dtype: the dense dtype, needed for 4:8 alone ("int4", the default, or "uint4").
            validate: check everything, the metadata's every nibble included (on the CPU: a device
                is waited for). Pass False only for parts that come from this package.
            backend: "auto" follows the device of the parts; "cpu" | "cuda".

        Raises:
            TypeError: an argument is no array, or of another kind or dtype than it must be.
            ValueError: a wrong shape, device or layout, or metadata that names no positions.
        """
        values, metadata, scale = (
            adopted(part, name)
            for part, name in ((values, "values"), (metadata, "metadata"), (scale, "scale"))
        )
        if not isinstance(shape, Sequence) or len(shape) != 2:
            raise ValueError(f"shape is {shape!r}; expected (M, K)")
        extents = (int(shape[0]), int(shape[1]))
        self._set(values, metadata, extents, pattern, dtype, scale, group_size)
        if validate:
            self._validate()
        check_backend(backend)
        if self.device != "cpu" or backend != "auto":
            self._pack(backend)

    def _set(
        self,
        values: Array,
        metadata: Array,
        shape: tuple[int, int],
        pattern: str,
        dtype: Any,
        scale: Array | None,
        group_size: int | None,
        cuda: int = CPU,
    ) -> None:
        self._kind: ArrayKind = kind_of(values, "values")
        self._pattern_code = pattern_of(pattern)
        self._pattern_number = int(self._pattern_code)  # as `_C.gemm` takes it
        self._values = values
        self._metadata = metadata
        self._cuda = cuda
        self.shape = shape
        self.pattern = pattern
        self.scale = scale
        self.group_size = group_size
        self._dtype_code, self.dtype = self._find_dtype(dtype)

    @classmethod
    def _of_parts(
        cls,
        values: Array,
        metadata: Array,
        shape: tuple[int, int],
        pattern: str,
        *,
        scale: Array | None = None,
        cuda: int = CPU,
    ) -> Sparse24Tensor:
        """Around parts of this package's own, unchecked: packed ones, if `cuda` is a device."""
        a = cls.__new__(cls)
        a._set(values, metadata, shape, pattern, None, scale, None, cuda)
        return a

    def _pack(self, backend: str) -> None:
        """Has the parts packed if a CUDA device is to work on them and has a kernel for them."""
        index = self._kind.cuda_index(self._values)
        if backend == "auto" and not 0 <= index < _C.cuda_device_count():
            return  # kept for a machine that can use it
        device = device_for(self._kind, self._values, "values", backend)
        if device == CPU or not _C.packed_supports(self._pattern_code, self._dtype_code):
            return
        self._values, self._metadata = device_format.pack(
            self._kind, self._values, self._metadata, self._matrix, device
        )
        self._cuda = device

    def _find_dtype(self, dtype: Any) -> tuple[_C.DType, Any]:
        if self.pattern != "4:8":
            found = self._values.dtype
            if dtype is not None and self._kind.native(dtype, "dtype") != found:
                raise TypeError(f"dtype is {dtype!r}; expected {found}, as values has")
            return self._kind.dtype_of(self._values, "values"), found
        for code in PACKED_DTYPES:
            if dtype in (code.name, None) or dtype == NUMPY_DTYPES[code]:
                break
        else:
            raise TypeError(f"dtype is {dtype!r}; expected int4 or uint4 for pattern 4:8")
        return code, self._kind.native_dtypes.get(code, code.name)

    def _validate(self) -> None:
        rows, k = self.shape
        values, metadata = self._values, self._metadata
        if rows < 0 or k < 0:
            raise ValueError(f"shape is {self.shape}; expected (M, K), neither negative")
        if not _C.supports(self._pattern_code, self._dtype_code):
            raise TypeError(f"values has dtype {values.dtype}, which has no {self.pattern} form")
        parts = {"metadata": metadata, "scale": self.scale}
        require_same_kind(self._kind, self.device, "values", **parts)
        self._validate_part("values", values, _C.k_compressed(self._pattern_code, k))
        self._validate_part("metadata", metadata, _C.metadata_row_bytes(self._pattern_code, k))
        if str(metadata.dtype).rpartition(".")[2] != "uint8":
            raise TypeError(f"metadata has dtype {metadata.dtype}; expected uint8")
        self._validate_scale()
        if self.device == "cpu" or self._kind.cuda_index(metadata) >= 0:
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
        metadata = self._kind.to_numpy(self._metadata)
        address = int(metadata.ctypes.data)
        found = _C.check_metadata(address, self._pattern_code, rows, k, available_threads())
        if found is None:
            return
        row, group = found
        byte = int(metadata[row, group // 2])
        nibble = byte >> 4 if group % 2 else byte & 0xF
        meaningful = "0x4 or 0xE" if self.pattern == "1:2" else "0x4, 0x8, 0xC, 0x9, 0xD or 0xE"
        raise SparsityError(
            f"metadata is not {self.pattern} metadata: row {row}, group {group} holds "
            f"0x{nibble:X}; expected {meaningful} (two positions, the lower first)",
            row=row,
            group=group,
            values=(nibble,),
        )

    def _canonical(self) -> tuple[Array, Array]:
        """Values and metadata in canonical order: those held, or new ones."""
        if self._cuda == CPU:
            return self._values, self._metadata
        return device_format.unpack(
            self._kind, self._values, self._metadata, self._matrix, self._cuda
        )

    @property
    def _matrix(self) -> Matrix:
        return Matrix(self._pattern_code, self._dtype_code, *self.shape)

    @property
    def values(self) -> Array:
        """The kept elements, row-major (see the class)."""
        return self._canonical()[0]

    @property
    def metadata(self) -> Array:
        """Their positions (see the class)."""
        return self._canonical()[1]

    @property
    def device(self) -> str:
        """Where the parts are, such as "cpu" or "cuda:0"."""
        return self._kind.device(self._values)

    @property
    def nbytes(self) -> int:
        """Bytes of values, metadata and scale, as they are held."""
        parts = (self._values, self._metadata, self.scale)
        return sum(int(part.nbytes) for part in parts if part is not None)

    def to_dense(self) -> Array:
        """The dense matrix [M, K], zeros where nothing is stored, unscaled; a new array.

        4-bit types come as NumPy arrays of ml_dtypes.int4 or uint4.
        """
        kind = self._kind
        if self._cuda != CPU:
            return device_format.decompress(
                kind, self._values, self._metadata, self._matrix, self._cuda
            )
        if device_for(kind, self._values, "the matrix") != CPU:
            raise device_format.unsupported(self._matrix, "the matrix")
        rows, k = self.shape
        packed = self._dtype_code in PACKED_DTYPES
        dense = kind.empty(self._values, (rows, (k + 1) // 2 if packed else k), self._values.dtype)
        _C.decompress(
            kind.address_of(self._values, "values"),
            kind.address_of(self._metadata, "metadata"),
            self._dtype_code,
            self._pattern_code,
            rows,
            k,
            kind.address(dense),
            available_threads(),
        )
        return unpack_nibbles(dense, k, self.dtype) if packed else dense

    def to(self, device: Any) -> Sparse24Tensor:
        """The matrix on another device, as torch names it; itself, if it is there already.

        Raises:
            UnsupportedError: the parts are not torch tensors.
        """
        if self._kind.name != "torch":
            raise UnsupportedError(
                f"the matrix holds {self._kind.name} arrays, which stay on their device: make "
                "another from parts that are where you want them"
            )
        import torch

        device = torch.device(device)  # a dtype, which Tensor.to also takes, is refused
        scale = None if self.scale is None else self.scale.to(device)
        moved = self._values.to(device)
        if moved is self._values:
            return self
        if self._cuda != CPU and moved.is_cuda:
            metadata = self._metadata.to(device)
            index = self._kind.cuda_index(moved)
            return self._of_parts(
                moved, metadata, self.shape, self.pattern, scale=scale, cuda=index
            )
        values, metadata = (part.to(device) for part in self._canonical())
        return Sparse24Tensor(
            values, metadata, self.shape, pattern=self.pattern, scale=scale, validate=False
        )

    def cpu(self) -> Sparse24Tensor:
        """The matrix on the CPU; see `to`."""
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> Sparse24Tensor:
        """The matrix on a CUDA device, packed; see `to`."""
        return self.to(device)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles the parts; they are checked again when they come back."""
        dtype = self._dtype_code.name if self._dtype_code in PACKED_DTYPES else None
        parts = (*self._canonical(), self.shape, self.pattern, dtype, self.scale)
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
