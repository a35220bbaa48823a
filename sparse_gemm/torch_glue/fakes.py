"""Torch's operators of this package on tensors that hold no data: checks, shapes and dtypes alone.

`check_parts` looks at the parts of a matrix where there is data, too.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from sparse_gemm import _C
from sparse_gemm.arrays import kind_of
from sparse_gemm.format.tensor import PATTERNS
from sparse_gemm.gemm import type_rules
from sparse_gemm.gemm.epilogue import ACTIVATIONS
from sparse_gemm.torch_glue.layer_format import (
    is_packed,
    packed_scales_shape,
    packed_shapes,
    stored_scales_shape,
    stored_shapes,
)

__all__ = ["check_parts", "linear", "matmul", "to_dense"]

_GROUP_SCALE_DTYPES = (torch.float16, torch.bfloat16)


def _dtype_code(values: Tensor) -> _C.DType:
    """The type of a matrix with such values."""
    if values.dtype is torch.uint8:
        return _C.DType.int4
    return kind_of(values, "values").dtype_of(values, "values")


def check_parts(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    group_scale: Tensor | None = None,
    group_size: int | None = None,
) -> None:
    """Raises unless the parts have the shapes of one matrix, so that no kernel reads past an end.

    The nibbles are not looked at: whoever made the parts has, and it would cost at every call.
    """
    extents = (out_features, in_features)
    if out_features < 0 or in_features < 0:
        raise ValueError(f"out_features and in_features are {extents}; expected at least 0")
    if values.ndim not in (1, 2):
        raise ValueError(f"values has {values.ndim} dimensions; expected 2, or 1 if it is packed")
    matrix = (*extents, pattern, _dtype_code(values))
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    if is_packed(values):
        shapes = packed_shapes(*matrix, values.get_device())
    else:
        shapes = stored_shapes(*matrix)
    parts: dict[str, tuple[Tensor, tuple[int, ...]]] = {
        "values": (values, shapes[0]),
        "metadata": (metadata, shapes[1]),
    }
    if (group_scale is None) != (group_size is None):
        raise ValueError("group_scale and group_size: expected both or neither")
    if group_scale is not None and group_size is not None:
        scales_shape = packed_scales_shape if is_packed(values) else stored_scales_shape
        parts["group_scale"] = (group_scale, scales_shape(*matrix, group_size))
    for name, (part, shape) in parts.items():
        if tuple(part.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(part.shape)}; expected {shape} for a {pattern} matrix of "
                f"{out_features} rows and {in_features} columns"
            )
    if metadata.dtype is not torch.uint8:
        raise TypeError(f"metadata has dtype {metadata.dtype}; expected torch.uint8")
    if group_scale is not None and group_scale.dtype not in _GROUP_SCALE_DTYPES:
        raise TypeError(
            f"group_scale has dtype {group_scale.dtype}; expected torch.float16 or torch.bfloat16"
        )


def _dense_type(
    name: str, dense: Tensor, values: Tensor, pattern: str, group_size: int | None
) -> _C.DType:
    """The type of the dense operand, which must go with the matrix's."""
    code = _dtype_code(values)
    found = kind_of(dense, name).dtypes.get(dense.dtype)
    if dense.dtype is torch.uint8 and code == _C.DType.int4:
        found = code
    return type_rules.check_types(PATTERNS[pattern], code, found, dense.dtype, name, group_size)


def _result_dtype(
    dense: _C.DType, dense_like: Tensor, out_dtype: torch.dtype | None, **terms: Any
) -> torch.dtype:
    """The output's dtype by the rule of sparse_gemm.linear."""
    if out_dtype is not None:
        return out_dtype
    is_plain = terms.pop("alpha", 1.0) == 1.0 and terms.pop("beta", 0.0) == 0.0
    exact = is_plain and all(term is None for term in terms.values())
    natives = kind_of(dense_like, "the dense operand").native_dtypes
    return cast(torch.dtype, natives[type_rules.default_result(dense, exact)])


def _check_terms(
    dense: Tensor,
    name: str,
    values: Tensor,
    out_features: int,
    bias: Tensor | None,
    *,
    activation: str | None = None,
    **others: Any,
) -> None:
    """What `eager` would check of the terms, as far as shapes and devices tell."""
    tensors = {name: dense, "bias": bias, **others}
    for argument, tensor in tensors.items():
        if isinstance(tensor, Tensor) and tensor.device != values.device:
            raise ValueError(
                f"{argument} is on {tensor.device}; expected {values.device}, where the weight is"
            )
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != out_features):
        raise ValueError(f"bias has shape {tuple(bias.shape)}; expected ({out_features},)")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; expected one of {[*ACTIVATIONS]}")


def _checked(
    name: str,
    dense: Tensor,
    axis: int,
    layout: str,
    parts: tuple[Tensor, Tensor, int, int, str],
    bias: Tensor | None,
    *,
    out_dtype: torch.dtype | None = None,
    backend: str = "auto",
    group_scale: Tensor | None = None,
    group_size: int | None = None,
    accumulate: str | None = None,
    **terms: Any,
) -> torch.dtype:
    """The output's dtype, for arguments that fit as far as shapes and types tell. K is the dense
    operand's `axis`."""
    check_parts(*parts, group_scale, group_size)
    values, _, out_features, in_features, pattern = parts
    extent = (in_features + 1) // 2 if dense.dtype is torch.uint8 else in_features
    if dense.ndim == 0 or dense.shape[axis] != extent:
        raise ValueError(f"{name} has shape {tuple(dense.shape)}; expected {layout.format(extent)}")
    _check_terms(dense, name, values, out_features, bias, **terms)
    dense_type = _dense_type(name, dense, values, pattern, group_size)
    return _result_dtype(dense_type, dense, out_dtype, bias=bias, **terms)


def linear(
    x: Tensor,
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    bias: Tensor | None = None,
    **keywords: Any,
) -> Tensor:
    """The empty y [..., out_features] of torch.ops.sparse_gemm.linear."""
    parts = (values, metadata, out_features, in_features, pattern)
    dtype = _checked("x", x, -1, "[..., {}]", parts, bias, **keywords)
    return x.new_empty((*x.shape[:-1], out_features), dtype=dtype)


def matmul(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    b: Tensor,
    bias: Tensor | None = None,
    **keywords: Any,
) -> Tensor:
    """The empty D [..., out_features, N] of torch.ops.sparse_gemm.matmul."""
    parts = (values, metadata, out_features, in_features, pattern)
    axis = max(b.ndim - 2, 0)
    dtype = _checked("b", b, axis, "[..., {}, N]", parts, bias, **keywords)
    columns = b.shape[-1:] if b.ndim > 1 else ()
    return b.new_empty((*b.shape[:-2], out_features, *columns), dtype=dtype)


def to_dense(
    values: Tensor, metadata: Tensor, out_features: int, in_features: int, pattern: str
) -> Tensor:
    """The empty result of torch.ops.sparse_gemm.to_dense."""
    check_parts(values, metadata, out_features, in_features, pattern)
    columns = (in_features + 1) // 2 if values.dtype is torch.uint8 else in_features
    return values.new_empty((out_features, columns))
