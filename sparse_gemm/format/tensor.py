"""Sparse24Tensor: a compressed matrix, as values plus metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sparse_gemm import _C
from sparse_gemm.arrays import (
    NUMPY_DTYPES,
    Array,
    ArrayKind,
    adopted,
    available_threads,
    kind_of,
)
from sparse_gemm.arrays.devices import CPU, check_backend, device_for
from sparse_gemm.errors import UnsupportedError
from sparse_gemm.format import device_format
from sparse_gemm.format.device_format import Matrix, matrix_of, matrix_on
from sparse_gemm.format.patterns import (
    PACKED_DTYPES,
    PACKED_DTYPES_OF,
    PATTERNS,
    pack_nibbles,
    pattern_of,
    unpack_nibbles,
)
from sparse_gemm.format.tensor_checks import check_parts

__all__ = [
    "PACKED_DTYPES",
    "PATTERNS",
    "Sparse24Tensor",
    "pack_nibbles",
    "pattern_of",
    "unpack_nibbles",
]


class Sparse24Tensor:
    """A structured-sparse matrix A [M, K], or a batch of them [B, M, K], in compressed storage
    (docs/format.md).

    Made by `sparse_gemm.compress`; construct one directly from stored parts. Treat it as constant:
    nothing here changes one, and what was checked is not checked again. On the CPU the parts are
    held as they are, not copied. On a CUDA device that has a kernel for them they are held packed,
    in the order in which the kernels read them, and nowhere else.

    Of a batch the parts have one more dimension, the first: `[B, M, ...]`.

    Attributes:
        values: the kept elements, row-major: `[M, 2*ceil(K/4)]` for 2:4, `[M, ceil(K/2)]` for 1:2;
            of 4-bit types uint8, two elements a byte, low nibble first: `[M, ceil(K/4)]` for 2:4
            and `[M, 2*ceil(K/8)]` for 4:8. If they are held packed, a new array at every access,
            as are the metadata and the scales of groups.
        metadata: their positions, uint8, one nibble a group, earliest group in the low nibble:
            `[M, ceil(groups/2)]` with groups = ceil(K/4), ceil(K/2) or ceil(K/8).
        shape: the dense shape (M, K) or (B, M, K). K is the logical length, never halved.
        dtype: the dense elements' dtype, as the array library names it.
        pattern: "2:4", "1:2" or "4:8".
        scale: float32 `[M]` or `[1]`, the factor of each row in `linear` and `matmul`, of all
            matrices of a batch; or with a group_size float16 or bfloat16
            `[M, ceil(K/group_size)]`, the factor of each group of elements; or None.
        group_size: elements of K that share a scale, 32, 64 or 128 (2:4 of int8, float8 and int4);
            None: a whole row does.
    """

    __slots__ = (
        "_cuda",  # the device that holds the parts packed, or CPU: they are canonical
        "_dtype_code",
        "_dtype_number",
        "_group_scales",
        "_kind",
        "_metadata",
        "_pattern_code",
        "_pattern_number",
        "_row_scale",
        "_values",
        "dtype",
        "group_size",
        "pattern",
        "shape",
    )

    def __init__(
        self,
        values: Array,
        metadata: Array,
        shape: tuple[int, ...],
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
            dtype: the dense dtype, needed for 4-bit types alone: "int4", the default, or, for 4:8,
                "uint4".
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
        if not isinstance(shape, Sequence) or len(shape) not in (2, 3):
            raise ValueError(f"shape is {shape!r}; expected (M, K) or (B, M, K)")
        extents = tuple(int(extent) for extent in shape)
        row_scale, group_scales = (scale, None) if group_size is None else (None, scale)
        self._set(values, metadata, extents, pattern, dtype, row_scale, group_scales, group_size)
        if validate:
            check_parts(self)
        check_backend(backend)
        if self.device != "cpu" or backend != "auto":
            self._pack(backend)

    def _set(
        self,
        values: Array,
        metadata: Array,
        shape: tuple[int, ...],
        pattern: str,
        dtype: Any,
        row_scale: Array | None,
        group_scales: Array | None,
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
        self._row_scale = row_scale
        self._group_scales = group_scales
        self.group_size = group_size
        self._dtype_code, self.dtype = self._find_dtype(dtype)
        self._dtype_number = int(self._dtype_code)

    @classmethod
    def _of_parts(
        cls,
        values: Array,
        metadata: Array,
        shape: tuple[int, ...],
        pattern: str,
        *,
        dtype: Any = None,
        scale: Array | None = None,
        group_scales: Array | None = None,
        group_size: int | None = None,
        cuda: int = CPU,
    ) -> Sparse24Tensor:
        """Around parts of this package's own, unchecked: packed ones, if `cuda` is a device."""
        a = cls.__new__(cls)
        a._set(values, metadata, shape, pattern, dtype, scale, group_scales, group_size, cuda)
        return a

    def _pack(self, backend: str) -> None:
        """Has the parts packed if a CUDA device is to work on them and has a kernel for them."""
        index = self._kind.cuda_index(self._values)
        if backend == "auto" and not 0 <= index < _C.cuda_device_count():
            return  # kept for a machine that can use it
        device = device_for(self._kind, self._values, "values", backend)
        if device == CPU or not _C.packed_supports(self._pattern_code, self._dtype_code):
            return
        self._cuda = device
        kind, matrix = self._kind, self._matrix
        self._values, self._metadata = device_format.pack(
            kind, self._values, self._metadata, matrix, device
        )
        if self._group_scales is not None and self.group_size is not None:
            self._group_scales = device_format.pack_scales(
                kind, self._group_scales, matrix, self.group_size, device
            )

    def _find_dtype(self, dtype: Any) -> tuple[_C.DType, Any]:
        found = self._values.dtype
        accepted = PACKED_DTYPES_OF[self._pattern_number] if found == self._kind.uint8 else ()
        if not accepted:
            if self.pattern == "4:8":
                raise TypeError(f"values has dtype {found}; expected uint8 for pattern 4:8")
            if dtype is not None and self._kind.native(dtype, "dtype") != found:
                raise TypeError(f"dtype is {dtype!r}; expected {found}, as values has")
            return self._kind.dtype_of(self._values, "values"), found
        for code in accepted:
            if dtype in (code.name, None) or dtype == NUMPY_DTYPES[code]:
                break
        else:
            names = " or ".join(code.name for code in accepted)
            raise TypeError(
                f"dtype is {dtype!r}; expected {names} for pattern {self.pattern} and uint8 values"
            )
        return code, self._kind.native_dtypes.get(code, code.name)

    def _canonical(self) -> tuple[Array, Array]:
        """Values and metadata in canonical order: those held, or new ones."""
        if self._cuda == CPU:
            return self._values, self._metadata
        parts = (self._values, self._metadata, self._matrix)
        values, metadata = device_format.unpack(self._kind, *parts, self._cuda)
        return self._of_shape(values), self._of_shape(metadata)

    def _of_shape(self, part: Array) -> Array:
        """`part` [rows of all matrices, ...] with a dimension for a batch, if this is one."""
        leading = self.shape[:-1]
        return part if len(leading) == 1 else part.reshape(*leading, part.shape[-1])

    def _at(self, index: int) -> Sparse24Tensor:
        """One matrix of a batch that is stored for the CPU: views of its parts."""
        scales = self._group_scales
        return self._of_parts(
            *(self._values[index], self._metadata[index], self.shape[1:], self.pattern),
            dtype=self._stored_dtype,
            scale=self._row_scale,
            group_scales=None if scales is None else scales[index],
            group_size=self.group_size,
        )

    @property
    def _matrix(self) -> Matrix:
        parts = (self._pattern_code, self._dtype_code)
        if self._cuda == CPU:
            return matrix_of(*parts, self.shape)
        return matrix_on(self._cuda, *parts, self.shape)

    @property
    def scale(self) -> Array | None:
        """The factors of rows or groups (see the class)."""
        scales, size = self._group_scales, self.group_size
        if scales is None or size is None:
            return self._row_scale
        if self._cuda == CPU:
            return scales
        matrix = self._matrix
        return self._of_shape(
            device_format.unpack_scales(self._kind, scales, matrix, size, self._cuda)
        )

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
        parts = (self._values, self._metadata, self._row_scale, self._group_scales)
        return sum(int(part.nbytes) for part in parts if part is not None)

    def to_dense(self) -> Array:
        """The dense matrix, of a's shape, zeros where nothing is stored, unscaled; a new array.

        4-bit types come as NumPy arrays of ml_dtypes.int4 or uint4.
        """
        dense = self._to_dense_packed()
        if self._dtype_code not in PACKED_DTYPES:
            return dense
        rows, columns = math.prod(self.shape[:-1]), dense.shape[-1]
        host = self._kind.to_numpy(dense).reshape(rows, columns)
        elements = unpack_nibbles(host, self.shape[-1], NUMPY_DTYPES[self._dtype_code])
        return elements.reshape(self.shape)

    def _to_dense_packed(self) -> Array:
        """As `to_dense`, but 4-bit elements are uint8 [..., ceil(K/2)], as they lie in memory."""
        kind = self._kind
        if self._cuda != CPU:
            parts = (self._values, self._metadata, self._matrix)
            return self._of_shape(device_format.decompress(kind, *parts, self._cuda))
        if device_for(kind, self._values, "the matrix") != CPU:
            raise device_format.unsupported(self._matrix, "the matrix")
        *leading, k = self.shape
        columns = (k + 1) // 2 if self._dtype_code in PACKED_DTYPES else k
        dense = kind.empty(self._values, (*leading, columns), self._values.dtype)
        _C.decompress(
            kind.address_of(self._values, "values"),
            kind.address_of(self._metadata, "metadata"),
            self._dtype_code,
            self._pattern_code,
            math.prod(leading),
            k,
            kind.address(dense),
            available_threads(),
        )
        return dense

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
        moved = self._values.to(device)
        if moved is self._values:
            return self
        index = self._kind.cuda_index(moved)
        if self._cuda != CPU and index >= 0 and self._is_packed_alike(index):
            others = (self._metadata, self._row_scale, self._group_scales)
            metadata, scale, group_scales = (
                None if part is None else part.to(device) for part in others
            )
            return self._of_parts(
                *(moved, metadata, self.shape, self.pattern),
                scale=scale,
                group_scales=group_scales,
                group_size=self.group_size,
                cuda=index,
            )
        parts = (*self._canonical(), self.scale)
        values, metadata, scale = (None if part is None else part.to(device) for part in parts)
        return Sparse24Tensor(
            *(values, metadata, self.shape),
            pattern=self.pattern,
            dtype=self._stored_dtype,
            scale=scale,
            group_size=self.group_size,
            validate=False,
        )

    def _is_packed_alike(self, device: int) -> bool:
        parts = (self._pattern_code, self._dtype_code, self.shape)
        return matrix_on(device, *parts) == self._matrix

    @property
    def _stored_dtype(self) -> str | None:
        """The dense dtype where the values' does not tell it."""
        return self._dtype_code.name if self._dtype_code in PACKED_DTYPES else None

    def cpu(self) -> Sparse24Tensor:
        """The matrix on the CPU; see `to`."""
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> Sparse24Tensor:
        """The matrix on a CUDA device, packed; see `to`."""
        return self.to(device)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles the parts; they are checked again when they come back."""
        parts = (*self._canonical(), self.shape, self.pattern, self._stored_dtype, self.scale)
        return (_rebuild, (*parts, self.group_size))

    def __repr__(self) -> str:
        """Such as `Sparse24Tensor(4096x4096, 2:4 int4, groups of 128, 6.6 MB, cpu)`."""
        shape = "x".join(map(str, self.shape))
        groups = "" if self.group_size is None else f"groups of {self.group_size}, "
        return (
            f"Sparse24Tensor({shape}, {self.pattern} {self._dtype_code.name}, {groups}"
            f"{self.nbytes / 1e6:.1f} MB, {self.device})"
        )


def _rebuild(
    values: Array,
    metadata: Array,
    shape: tuple[int, ...],
    pattern: str,
    dtype: str | None,
    scale: Array | None,
    group_size: int | None,
) -> Sparse24Tensor:
    return Sparse24Tensor(
        values, metadata, shape, pattern=pattern, dtype=dtype, scale=scale, group_size=group_size
    )
