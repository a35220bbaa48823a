"""The scales that formats store beside their weights, as ours: a row's, or a group's of 16 bits."""

from __future__ import annotations

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.base import Context, Decoded
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.checkpoints.weight import (
    FLOATS,
    Weight,
    apply_scale,
    from_dense,
)
from sparse_gemm.format.patterns import SCALE_GROUP_SIZES

__all__ = ["scaled", "stored_scale"]

_FLOATS_OF_16_BITS = ("float16", "bfloat16")


def scaled(
    weight: Decoded, scale: Array | None, zero_point: Array | None, context: Context
) -> Decoded:
    """The weight with its scale: [1], [rows], [rows, 1] or [rows, K / group_size].

    Where a scale is for groups of a size that Sparse24Tensor does not have, or of more than 16
    bits, the weight is dequantised.
    """
    if zero_point is not None and zero_point.astype(np.float64).any():
        raise CheckpointError("weight_zero_point is not zero: zeros would not stay zeros")
    if scale is None:
        return weight
    if scale.dtype.name not in FLOATS:
        raise CheckpointError(f"the scale has dtype {scale.dtype}; expected {' or '.join(FLOATS)}")
    dense_dtype = scale.dtype.name
    if dense_dtype == "float32":
        dense_dtype = context.float_dtype or dense_dtype
    rows, k = weight.shape[0], weight.shape[-1]
    if weight.ndim != 2 if isinstance(weight, np.ndarray) else len(weight.shape) != 2:
        raise CheckpointError("a scale stands beside a weight that is no matrix")
    if scale.size in (1, rows) and scale.ndim <= 2 and scale.shape[:1] in ((), (1,), (rows,)):
        return _with_scale(weight, scale.reshape(-1).astype(np.float32), None, dense_dtype)
    groups = scale.shape[1] if scale.ndim == 2 else 0
    if scale.ndim != 2 or scale.shape[0] != rows or not groups or k % groups:
        raise CheckpointError(f"the scale has shape {scale.shape} beside a weight [{rows}, {k}]")
    return _with_scale(weight, np.ascontiguousarray(scale), k // groups, dense_dtype)


def _with_scale(weight: Decoded, scale: Array, group_size: int | None, dense_dtype: str) -> Decoded:
    kept = group_size is None or (
        group_size in SCALE_GROUP_SIZES and scale.dtype.name in _FLOATS_OF_16_BITS
    )
    if isinstance(weight, Weight) and kept:
        return Weight(
            weight.values, weight.metadata, weight.shape, weight.pattern, weight.dtype,
            dense_dtype, scale, group_size,
        )  # fmt: skip
    elements = weight.elements() if isinstance(weight, Weight) else weight
    dense = apply_scale(elements, scale, group_size, dense_dtype)
    return (from_dense(dense) if isinstance(weight, Weight) else None) or dense


def stored_scale(weight: Weight) -> Array | None:
    """The inverse: [rows, 1] or [rows, groups], in the dense parameter's type if that is exact."""
    if weight.scale is None:
        return None
    scale = weight.scale
    if weight.group_size is None:
        scale = np.ascontiguousarray(np.broadcast_to(scale, (weight.rows,))).reshape(-1, 1)
    rounded = scale.astype(np.dtype(weight.dense_dtype))
    is_exact = np.array_equal(rounded.astype(np.float32), scale.astype(np.float32))
    return rounded if is_exact else scale
