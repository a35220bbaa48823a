"""quantize: a floating-point matrix becomes 2:4 of int8, int4 or float8, with scales."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparse_gemm import _C
from sparse_gemm.arrays import NUMPY_DTYPES, Array, ArrayKind, adopted, kind_of
from sparse_gemm.arrays.devices import device_for
from sparse_gemm.format.compression import compress
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.format.tensor_checks import check_group_size

__all__ = ["quantize"]

# What a scale maps the largest magnitude to.
_LARGEST = {
    "int8": 127.0,
    "int4": 7.0,
    "float8_e4m3fn": 448.0,
    "float8_e5m2": 57344.0,
}
# Of the types of scales, the smallest number above 0.
_SMALLEST = {"float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}
_FLOATS = (_C.DType.float32, _C.DType.float16, _C.DType.bfloat16)
_ROWS_AT_ONCE = 256  # are float32 at a time, not the whole matrix


def quantize(
    w: Array,
    dtype: str = "int8",
    *,
    group_size: int | None = None,
    prune: bool = False,
    backend: str = "auto",
) -> Sparse24Tensor:
    """Quantises `w` [M, K] symmetrically by its largest magnitudes, and compresses it as 2:4.

    For each row, or each group of `group_size` elements of a row,

        scale = max|w| / L        q = round(w / scale), within -L to L

    with L = 127 for int8, 7 for int4, 448 for float8_e4m3fn and 57344 for float8_e5m2, and rounding
    to nearest, ties to even. That is the scale quantisation, with restricted range, of Wu et al.,
    "Integer Quantization for Deep Learning Inference", arXiv:2004.09602, section 3.1; the limits of
    float8 are those of Micikevicius et al., "FP8 Formats for Deep Learning", arXiv:2209.05433. A
    row or group of zeros has scale 1. Elements are divided by the scale as it is stored.

    Args:
        w: array or tensor [M, K], float32, float16 or bfloat16, any strides; finite. With a
            group_size also a batch of matrices [B, M, K].
        dtype: "int8", "int4", "float8_e4m3fn" or "float8_e5m2".
        group_size: 32, 64 or 128 elements of K that share a scale; None: a whole row does.
        prune: whether to prune `w` to 2:4 first (`sparse_gemm.prune`); else it must be 2:4 already.
        backend: where the result is to be stored, as for `compress`. The work itself is done by
            NumPy on the host, wherever `w` is.

    Returns:
        A Sparse24Tensor on the device of `w`, with `.scale` float32 [M], or for groups
        [M, ceil(K/group_size)] of the type of `w` (of float32: float16).

    Raises:
        SparsityError: `w` is not 2:4 and prune is False.
        TypeError: `w` has another type.
        ValueError: another dtype or group_size, `w` is no matrix or not finite, or its magnitudes
            are too large for 16-bit scales.
    """
    if not isinstance(dtype, str) or dtype not in _LARGEST:
        raise ValueError(f"dtype is {dtype!r}; expected one of {', '.join(_LARGEST)}")
    if group_size is not None:
        check_group_size(group_size)
    w = adopted(w, "w")
    kind = kind_of(w, "w")
    device_for(kind, w, "w", backend)  # raises before the work if it must
    if w.ndim == 3 and group_size is None:
        raise ValueError(
            f"w has shape {tuple(w.shape)} and group_size is None; expected 32, 64 or 128 for a "
            "batch of matrices, which has no scales of rows"
        )
    host, scale_dtype = _host_matrix(kind, w, prune)
    k = host.shape[1]
    if group_size is None:
        q, scale = _quantized(host, dtype, max(k, 1), np.dtype(np.float32))
        scale = scale.reshape(-1)
    else:
        q, scale = _quantized(host, dtype, group_size, scale_dtype)
        scale = np.ascontiguousarray(scale[:, : -(-k // group_size)])
        scale = scale.reshape(*w.shape[:-1], scale.shape[1])
    a = compress(q.reshape(tuple(w.shape)))
    parts, device = (a.values, a.metadata, scale), kind.device(w)
    values, metadata, scale = (kind.from_numpy(part, device) for part in parts)
    return Sparse24Tensor(
        *(values, metadata, a.shape),
        scale=scale,
        group_size=group_size,
        validate=False,
        backend=backend,
    )


def _host_matrix(kind: ArrayKind, w: Array, prunes: bool) -> tuple[np.ndarray[Any, Any], Any]:
    """`w` on the host, [rows of all matrices, K], 2:4 and finite, and the type of the scales of its
    groups."""
    code = kind.dtypes.get(w.dtype)
    if code not in _FLOATS:
        names = ", ".join(float_type.name for float_type in _FLOATS)
        raise TypeError(f"w has dtype {w.dtype}; expected one of {names}")
    kind.require_strided(w, "w")
    host = kind.to_numpy(w)
    policy = "prune" if prunes else "raise"
    # `compress` says what is wrong with w, in one pass; only what it made of w is used.
    host = compress(host, policy=policy).to_dense()
    host = host.reshape(math.prod(host.shape[:-1]), host.shape[-1])
    rows_at_fault = np.flatnonzero(~np.isfinite(host.astype(np.float32)).all(axis=1))
    if len(rows_at_fault):
        raise ValueError(f"w holds nan or inf, first in row {rows_at_fault[0]}; expected none")
    return host, np.dtype(np.float16) if code == _C.DType.float32 else host.dtype


def _quantized(
    w: np.ndarray[Any, Any], dtype: str, group_size: int, scale_dtype: Any
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Elements of `dtype` and scales [M, ceil(K / group_size)], at least one for each row."""
    m, k = w.shape
    groups = -(-k // group_size)
    q = np.zeros((m, k), NUMPY_DTYPES[getattr(_C.DType, dtype)])
    scale = np.ones((m, max(groups, 1)), scale_dtype)
    for begin in range(0, m if k else 0, _ROWS_AT_ONCE):
        rows = slice(begin, min(begin + _ROWS_AT_ONCE, m))
        padded = np.zeros((rows.stop - begin, groups * group_size), np.float32)
        padded[:, :k] = w[rows]
        grouped = padded.reshape(-1, groups, group_size)
        scale[rows] = _scales(np.abs(grouped).max(axis=2), _LARGEST[dtype], scale_dtype)
        quotient = grouped / scale[rows].astype(np.float32)[..., None]
        within = np.clip(quotient, -_LARGEST[dtype], _LARGEST[dtype])
        if "int" in dtype:
            within = np.rint(within)
        q[rows] = within.reshape(padded.shape)[:, :k].astype(q.dtype)
    return q, scale


def _scales(largest: np.ndarray[Any, Any], limit: float, dtype: Any) -> np.ndarray[Any, Any]:
    """largest / limit as `dtype`; never 0, by which nothing could be divided."""
    with np.errstate(over="ignore", under="ignore"):
        scale: np.ndarray[Any, Any] = (largest / np.float32(limit)).astype(dtype)
    if not np.isfinite(scale.astype(np.float32)).all():
        raise ValueError(
            f"w holds {largest.max()}, whose scale {dtype.name} cannot hold; expected smaller "
            "elements, a bfloat16 w, or group_size=None"
        )
    scale[scale == 0] = _SMALLEST[dtype.name]
    scale[largest == 0] = 1
    return scale
