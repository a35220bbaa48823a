"""What a torch layer's tensors may be: types, shapes, and how a misfit is put into words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from sparse_gemm.errors import SparsityError

__all__ = [
    "LAYER_DTYPES",
    "check_bias",
    "check_choice",
    "check_dtype",
    "describe_violation",
    "is_packed",
    "packed_shapes",
    "stored_shapes",
]

LAYER_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

# The types that a layer of each pattern may have; 4:8 has none that torch could hold dense.
_DTYPES_OF_PATTERN = {"2:4": LAYER_DTYPES, "1:2": (torch.float32,)}

# pattern -> elements in a group, stored elements (4:8: bytes of two) of a group (docs/format.md).
_GEOMETRY = {"2:4": (4, 2), "1:2": (2, 1), "4:8": (8, 2)}

# A tile of packed storage (docs/format.md): so many rows, and so many elements of K.
_PACKED_TILE = (16, 64)


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


def stored_shapes(
    out_features: int, in_features: int, pattern: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of values and metadata for a weight [out_features, in_features] (docs/format.md)."""
    if pattern not in _GEOMETRY:
        raise ValueError(f"pattern is {pattern!r}; expected one of {', '.join(_GEOMETRY)}")
    group_size, kept = _GEOMETRY[pattern]
    num_groups = -(-in_features // group_size)
    num_bytes = -(-num_groups // 2)  # two groups' nibbles to a byte
    return (out_features, kept * num_groups), (out_features, num_bytes)


def is_packed(values: Tensor) -> bool:
    """Whether these are packed values, which are flat, and not canonical ones, a matrix."""
    return values.ndim == 1


def packed_shapes(out_features: int, in_features: int) -> tuple[tuple[int], tuple[int]]:
    """Shapes of packed values and metadata of a 16-bit 2:4 weight [out_features, in_features]."""
    rows, columns = (
        -(-extent // tile) * tile
        for extent, tile in zip((out_features, in_features), _PACKED_TILE, strict=True)
    )
    return (rows * (columns // 2),), (rows * (columns // 8),)


def describe_violation(error: SparsityError, pattern: str) -> str:
    """One violation in words: 'is not 2:4 sparse: row 3, group 1 holds (1.0, 2.0, 3.0, 0.0)'."""
    listed = ", ".join(str(value) for value in error.values)
    return f"is not {pattern} sparse: row {error.row}, group {error.group} holds ({listed})"
