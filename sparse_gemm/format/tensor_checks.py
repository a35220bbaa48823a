"""What the parts of a Sparse24Tensor must be, and how a misfit is put into words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sparse_gemm import _C
from sparse_gemm.arrays import Array, available_threads, require_same_kind
from sparse_gemm.errors import SparsityError
from sparse_gemm.format.patterns import SCALE_GROUP_SIZES

if TYPE_CHECKING:
    from sparse_gemm.format.tensor import Sparse24Tensor

__all__ = ["check_group_size", "check_parts"]

_GROUP_SCALE_DTYPES = (_C.DType.float16, _C.DType.bfloat16)


def check_group_size(group_size: Any) -> None:
    """Raises ValueError unless so many elements of K may share a scale."""
    if type(group_size) is not int or group_size not in SCALE_GROUP_SIZES:
        raise ValueError(f"group_size is {group_size!r}; expected 32, 64 or 128, or None")


def check_parts(a: Sparse24Tensor) -> None:
    """Checks all that a Sparse24Tensor was given; see its constructor for what is raised."""
    k = a.shape[-1]
    values, metadata = a._values, a._metadata
    if min(a.shape) < 0:
        raise ValueError(f"shape is {a.shape}; expected (M, K) or (B, M, K), none negative")
    if not _C.supports(a._pattern_code, a._dtype_code):
        raise TypeError(f"values has dtype {values.dtype}, which has no {a.pattern} form")
    scale = a._row_scale if a.group_size is None else a._group_scales
    parts = {"metadata": metadata, "scale": scale}
    require_same_kind(a._kind, a.device, "values", **parts)
    columns = _C.k_compressed(a._pattern_code, a._dtype_code, k)
    _check_part(a, "values", values, columns)
    _check_part(a, "metadata", metadata, _C.metadata_row_bytes(a._pattern_code, k))
    if str(metadata.dtype).rpartition(".")[2] != "uint8":
        raise TypeError(f"metadata has dtype {metadata.dtype}; expected uint8")
    _check_row_scale(a)
    _check_group_scales(a)
    if a.device == "cpu" or a._kind.cuda_index(metadata) >= 0:
        _check_nibbles(a)


def _check_part(a: Sparse24Tensor, name: str, part: Array, columns: int) -> None:
    expected = (*a.shape[:-1], columns)
    if tuple(part.shape) != expected:
        raise ValueError(
            f"{name} has shape {tuple(part.shape)}; expected {expected} for a {a.pattern} "
            f"matrix of shape {a.shape}"
        )
    if 0 not in expected and not a._kind.is_contiguous(part):
        raise ValueError(
            f"{name} has strides {a._kind.strides(part)}; expected a contiguous row-major "
            "array: make a contiguous copy"
        )


def _check_row_scale(a: Sparse24Tensor) -> None:
    scale = a._row_scale
    if scale is None:
        return
    if a._kind.dtypes.get(scale.dtype) != _C.DType.float32:
        raise TypeError(f"scale has dtype {scale.dtype}; expected float32")
    rows = a.shape[-2]
    if tuple(scale.shape) not in ((rows,), (1,)):
        what = ", for all matrices of the batch, or a group_size" if len(a.shape) == 3 else ""
        raise ValueError(f"scale has shape {tuple(scale.shape)}; expected ({rows},) or (1,){what}")


def _check_group_scales(a: Sparse24Tensor) -> None:
    size, scales = a.group_size, a._group_scales
    if size is None:
        return
    check_group_size(size)
    if not _C.packed_group_size_fits(a._pattern_code, a._dtype_code, size):
        raise ValueError(
            f"group_size is {size}, but the matrix is {a.pattern} of "
            f"{a._dtype_code.name}; expected 2:4 of int8, int4, float8_e4m3fn or "
            "float8_e5m2, or group_size=None"
        )
    columns = -(-a.shape[-1] // size)
    if scales is None:
        raise ValueError(
            f"scale is None and group_size {size}; expected a scale of shape "
            f"{(*a.shape[:-1], columns)}, or group_size=None"
        )
    if a._kind.dtypes.get(scales.dtype) not in _GROUP_SCALE_DTYPES:
        raise TypeError(
            f"scale has dtype {scales.dtype}; expected float16 or bfloat16, as group_size is {size}"
        )
    _check_part(a, "scale", scales, columns)


def _check_nibbles(a: Sparse24Tensor) -> None:
    rows, k = math.prod(a.shape[:-1]), a.shape[-1]
    metadata = a._kind.to_numpy(a._metadata)
    metadata = metadata.reshape(rows, metadata.shape[-1])
    address = int(metadata.ctypes.data)
    found = _C.check_metadata(address, a._pattern_code, rows, k, available_threads())
    if found is None:
        return
    row, group = found
    byte = int(metadata[row, group // 2])
    nibble = byte >> 4 if group % 2 else byte & 0xF
    meaningful = "0x4 or 0xE" if a.pattern == "1:2" else "0x4, 0x8, 0xC, 0x9, 0xD or 0xE"
    batch, matrix = None, ""
    if len(a.shape) == 3:
        batch, row = divmod(row, a.shape[1])
        matrix = f"matrix {batch}, "
    raise SparsityError(
        f"metadata is not {a.pattern} metadata: {matrix}row {row}, group {group} holds "
        f"0x{nibble:X}; expected {meaningful} (two positions, the lower first)",
        row=row,
        group=group,
        values=(nibble,),
        batch=batch,
    )
