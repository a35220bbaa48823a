"""Layers with quantised weights: which there are, how they are made, what their weight is."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from sparse_gemm._C import DType
from sparse_gemm.arrays import kind_of
from sparse_gemm.format import quantization
from sparse_gemm.format.compression import compress
from sparse_gemm.format.patterns import SCALE_GROUP_SIZES
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.torch_glue import operators
from sparse_gemm.torch_glue.layer_format import check_choice, stored_scales_shape

__all__ = [
    "check_quantized",
    "compressed",
    "dense_weight",
    "make_bytes",
    "matrix_type",
    "new_scale",
    "type_of_layer",
    "values_dtype",
]

# The type that a layer's weight is quantised to -> ours, and of its values.
_TYPES = {
    "int8": (DType.int8, torch.int8),
    "int4": (DType.int4, torch.uint8),
    "float8_e4m3fn": (DType.float8_e4m3fn, torch.float8_e4m3fn),
    "float8_e5m2": (DType.float8_e5m2, torch.float8_e5m2),
}
_16_BIT_FLOATS = (torch.float16, torch.bfloat16)


def check_quantized(quantize: str | None, group_size: int | None, pattern: str) -> None:
    """Raises ValueError unless a layer of this pattern may be quantised so."""
    check_choice("quantize", quantize, (None, *_TYPES))
    check_choice("group_size", group_size, (None, *SCALE_GROUP_SIZES))
    if group_size is not None and quantize is None:
        raise ValueError(f"group_size is {group_size}, but quantize is None; expected both")
    if quantize is not None and pattern != "2:4":
        raise ValueError(f"quantize is {quantize!r} and pattern {pattern!r}; expected '2:4'")


def _quantized_type(values: Tensor) -> str | None:
    """What a weight with such values is quantised to; None if it is not."""
    return next((name for name, (_, dtype) in _TYPES.items() if dtype is values.dtype), None)


def values_dtype(quantize: str | None, dtype: torch.dtype) -> torch.dtype:
    """The type of the values of a weight that is used as `dtype`."""
    return dtype if quantize is None else _TYPES[quantize][1]


def matrix_type(quantize: str | None, dtype: torch.dtype) -> DType:
    """The type of the elements of such a weight."""
    empty = torch.empty(0, dtype=dtype)
    return kind_of(empty, "the weight").dtypes[dtype] if quantize is None else _TYPES[quantize][0]


def make_bytes(buffers: dict[str, Tensor | None]) -> dict[str, torch.dtype]:
    """Makes the parts of a quantised weight bytes, which no change of dtype is for; says what they
    were."""
    parts = {name: cast(Tensor, buffers[name]) for name in ("values", "scale")}
    buffers.update({name: part.view(torch.uint8) for name, part in parts.items()})
    return {name: part.dtype for name, part in parts.items()}


def new_scale(
    out_features: int,
    in_features: int,
    quantize: str | None,
    group_size: int | None,
    dtype: torch.dtype,
    device: torch.device | str | int | None,
) -> Tensor | None:
    """The scale of an all-zero weight, in canonical form."""
    if quantize is None:
        return None
    if group_size is None:
        return torch.ones(out_features, device=device, dtype=torch.float32)
    shape = stored_scales_shape(out_features, in_features, "2:4", _TYPES[quantize][0], group_size)
    scale_dtype = dtype if dtype in _16_BIT_FLOATS else torch.float16
    return torch.ones(shape, device=device, dtype=scale_dtype)


def compressed(
    weight: Tensor,
    prune: bool,
    pattern: str,
    backend: str,
    quantize: str | None,
    group_size: int | None,
) -> Sparse24Tensor:
    """The dense weight of a layer, compressed, and quantised if it is to be."""
    if quantize is None:
        policy = "prune" if prune else "raise"
        return compress(weight, pattern=pattern, policy=policy, backend=backend)
    return quantization.quantize(
        weight, quantize, group_size=group_size, prune=prune, backend=backend
    )


def type_of_layer(a: Sparse24Tensor) -> str | None:
    """What the weight of a layer around `a` is quantised to; None if it is not to be.

    Raises:
        ValueError: it has a scale and is not, or it is and has none for each row or group; or `a`
            is a batch of matrices.
    """
    if len(a.shape) != 2:
        raise ValueError(f"a has shape {a.shape}; expected one matrix [out_features, in_features]")
    quantize = _quantized_type(a._values)
    has_groups = a.group_size is not None
    scale = a._group_scales if has_groups else a._row_scale  # as stored: unpacking takes a kernel
    if quantize is None and scale is not None:
        raise ValueError(
            f"a is {a._dtype_code.name} with a scale, which such a SparseLinear does not hold: use "
            "sparse_gemm.linear"
        )
    has_all = scale is not None and (has_groups or scale.shape[0] == a.shape[0])
    if quantize is not None and not has_all:
        raise ValueError(
            f"a is {quantize} without a scale for each row or group; expected one: "
            "sparse_gemm.quantize makes it"
        )
    return quantize


def dense_weight(a: Sparse24Tensor, dtype: torch.dtype) -> Tensor:
    """The dense weight [M, K] as `dtype`: of a quantised one, elements times scales, as multiplied.

    Scales of groups are rounded to `dtype` before, those of rows are not.
    """
    m, k = a.shape
    dense = operators.to_dense(a._values, a._metadata, m, k, a.pattern)
    scale = a.scale  # unpacked at every access
    if scale is None:
        return dense
    if dense.dtype is torch.uint8:
        dense = _elements_of_bytes(dense)[:, :k]
    if a.group_size is None:
        scale = scale.reshape(-1, 1)
    else:
        scale = scale.to(dtype).float().repeat_interleave(a.group_size, 1)[:, :k]
    return cast(Tensor, (dense.float() * scale).to(dtype))


def _elements_of_bytes(packed: Tensor) -> Tensor:
    """int4 elements, as int8 [M, 2 * columns], of bytes [M, columns] that hold two each."""
    nibbles = torch.stack((packed & 0xF, packed >> 4), dim=-1).flatten(-2).to(torch.int8)
    return (nibbles ^ 8) - 8
