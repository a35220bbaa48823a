"""What a torch layer's tensors may be: types, shapes, and how a misfit is put into words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from sparse_gemm._C import DType
from sparse_gemm.arrays import NUMPY_DTYPES
from sparse_gemm.errors import SparsityError
from sparse_gemm.format.device_format import stores_as_8_bit
from sparse_gemm.format.patterns import GROUP_ELEMENTS, PACKED_DTYPES, PATTERNS, pattern_of

__all__ = [
    "LAYER_DTYPES",
    "check_bias",
    "check_choice",
    "check_dtype",
    "describe_violation",
    "is_packed",
    "packed_scales_shape",
    "packed_shapes",
    "stored_scales_shape",
    "stored_shapes",
]

LAYER_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

# The types that a layer of each pattern may have; 4:8 has none that torch could hold dense.
_DTYPES_OF_PATTERN = {"2:4": LAYER_DTYPES, "1:2": (torch.float32,)}

_TILE_ROWS = 16  # of packed storage


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raises ValueError unless value, the argument called `name`, is one of the choices."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}; expected one of {listed}")


def check_dtype(dtype: torch.dtype, pattern: str) -> None:
    """Raises ValueError or TypeError unless a layer may have this pattern and this type."""
    if pattern not in _DTYPES_OF_PATTERN:
        raise ValueError(
            f"pattern is {pattern!r}; a SparseLinear can have "
            + " or ".join(repr(name) for name in _DTYPES_OF_PATTERN)
        )
    accepted = _DTYPES_OF_PATTERN[pattern]
    if dtype not in accepted:
        names = " or ".join(str(name) for name in accepted)
        raise TypeError(
            f"dtype is {dtype}; a SparseLinear of pattern {pattern} can have {names}: "
            "convert the layer to one of these"
        )


def check_bias(bias: Tensor | None, out_features: int, device: torch.device) -> None:
    """Raises TypeError or ValueError unless bias is None or can be the bias of such a layer."""
    if bias is None:
        return
    if not isinstance(bias, Tensor):
        raise TypeError(f"bias is a {type(bias).__name__}; expected a torch.Tensor or None")
    if bias.dtype not in LAYER_DTYPES:
        names = " or ".join(str(name) for name in LAYER_DTYPES)
        raise TypeError(f"bias has dtype {bias.dtype}; expected {names}")
    if tuple(bias.shape) != (out_features,):
        raise ValueError(f"bias has shape {tuple(bias.shape)}; expected ({out_features},)")
    if bias.device != device:
        raise ValueError(f"bias is on {bias.device}; expected {device}, where the weight is")


def _group(pattern: str, dtype: DType) -> tuple[int, int]:
    """Elements of a group, and bytes of what it keeps."""
    pattern_of(pattern)
    group_size = GROUP_ELEMENTS[pattern]
    bits = 4 if dtype in PACKED_DTYPES else 8 * _itemsize(dtype)
    return group_size, group_size * bits // 16


def _itemsize(dtype: DType) -> int:
    return 1 if dtype in PACKED_DTYPES else int(NUMPY_DTYPES[dtype].itemsize)


def stored_shapes(
    out_features: int, in_features: int, pattern: str, dtype: DType
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of values and metadata for a weight [out_features, in_features] (docs/format.md)."""
    group_size, kept_bytes = _group(pattern, dtype)
    num_groups = -(-in_features // group_size)
    num_bytes = -(-num_groups // 2)  # two groups' nibbles to a byte
    return (out_features, kept_bytes // _itemsize(dtype) * num_groups), (out_features, num_bytes)


def stored_scales_shape(
    out_features: int, in_features: int, pattern: str, dtype: DType, group_size: int
) -> tuple[int, int]:
    """Shape of the scales of groups of group_size elements of such a weight."""
    return out_features, -(-in_features // group_size)


def is_packed(values: Tensor) -> bool:
    """Whether these are packed values, which are flat, and not canonical ones, a matrix."""
    return values.ndim == 1


def _packed_extents(
    out_features: int, in_features: int, pattern: str, dtype: DType
) -> tuple[int, int]:
    """Rows and elements of K of whole tiles: 64 bytes of kept values of 16 rows, 32 in 2:4 of
    4-bit types."""
    group_size, kept_bytes = _group(pattern, dtype)
    row_bytes = 32 if kept_bytes == 1 else 64
    tile_k = row_bytes // kept_bytes * group_size
    return (
        -(-out_features // _TILE_ROWS) * _TILE_ROWS,
        -(-in_features // tile_k) * tile_k,
    )


def packed_shapes(
    out_features: int, in_features: int, pattern: str, dtype: DType, device: int
) -> tuple[tuple[int], tuple[int]]:
    """Shapes of packed values and metadata of a weight [out_features, in_features].

    `device` is the index of the CUDA device; below 0 for tensors that are not on one, which are
    stored for the emulated one.
    """
    rows, columns = _packed_extents(out_features, in_features, pattern, dtype)
    group_size, kept_bytes = _group(pattern, dtype)
    groups = rows * (columns // group_size)
    if stores_as_8_bit(PATTERNS[pattern], max(device, 0)):
        return (2 * kept_bytes * groups,), (groups,)  # a byte for each element, twice the groups
    return (kept_bytes // _itemsize(dtype) * groups,), (groups // 2,)


def packed_scales_shape(
    out_features: int, in_features: int, pattern: str, dtype: DType, group_size: int
) -> tuple[int]:
    """Shape of the packed scales of groups of group_size elements of such a weight."""
    rows, columns = _packed_extents(out_features, in_features, pattern, dtype)
    return (rows * (columns // group_size),)


def describe_violation(error: SparsityError, pattern: str) -> str:
    """One violation in words: 'is not 2:4 sparse: row 3, group 1 holds (1.0, 2.0, 3.0, 0.0)'."""
    listed = ", ".join(str(value) for value in error.values)
    return f"is not {pattern} sparse: row {error.row}, group {error.group} holds ({listed})"
