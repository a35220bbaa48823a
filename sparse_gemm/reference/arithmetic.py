# NumPy's stubs answer Any for most expressions over arrays of any dtype.
# mypy: disable-error-code="no-any-return"
"""What the reference implementation does around the product: scales, epilogue, rounding.

Nothing here knows the compression format; `matrices` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["apply_epilogue", "is_integer", "round_to", "scaled"]

Array = NDArray[Any]


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether dtype is one of NumPy's integers or a 4-bit one."""
    return bool(np.issubdtype(dtype, np.integer)) or dtype.name in ("int4", "uint4")


def _silu(v: Array) -> Array:
    return v / (1 + np.exp(-v))


def _gelu(v: Array) -> Array:
    # erfc of the negative instead of 1 + erf, which cancels where v is far below zero.
    erfc = np.array([math.erfc(-element / math.sqrt(2)) for element in v.flat])
    return 0.5 * v * erfc.reshape(v.shape)


def _gelu_tanh(v: Array) -> Array:
    # The constants of Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016. Half of
    # 1 + tanh(u) is 1 / (1 + e^(-2u)), which does not cancel where u is far below zero.
    u = math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)
    with np.errstate(over="ignore"):
        return v / (1 + np.exp(-2 * u))


_ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
}


def apply_epilogue(
    product: Array,
    bias: ArrayLike | None,
    activation: str | None,
    x_scale: ArrayLike | None,
    w_scale: ArrayLike | None,
    residual: ArrayLike | None,
    gate: ArrayLike | None,
    alpha: float,
    beta: float,
) -> Array:
    """float64 [..., out] from product = x @ A.T [..., out]; the arguments are linear's."""
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}; expected one of {list(_ACTIVATIONS)}")
    *leading, out_features = product.shape
    tokens = tuple(leading)
    per_token = (tokens, (*tokens, 1), (1,), ())
    per_feature = ((out_features,), (1,), ())
    per_element = ((*tokens, out_features),)

    with np.errstate(all="ignore"):
        y = alpha * product.astype(np.float64)
        if x_scale is not None:
            scale = _factor("x_scale", x_scale, per_token)
            y = y * (scale[..., None] if scale.shape == tokens else scale)
        if w_scale is not None:
            y = y * _factor("w_scale", w_scale, per_feature)
        if bias is not None:
            y = y + _factor("bias", bias, per_feature)
        y = _ACTIVATIONS[activation](y)
        if gate is not None:
            y = _silu(_factor("gate", gate, per_element)) * y
        if residual is not None:
            y = y + beta * _factor("residual", residual, per_element)
    return y


def _factor(name: str, value: ArrayLike, shapes: tuple[tuple[int, ...], ...]) -> Array:
    """value as float64, once its shape is known to be one of shapes."""
    array = np.asarray(value).astype(np.float64)
    if array.shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
    return array


def scaled(values: Array, groups: Array, scale: Array, dtype: np.dtype[Any]) -> Array:
    """values [M, n] times the scales of their groups, as dtype; the scales are rounded before."""
    if not scale.size:
        return values.astype(dtype)
    scale = round_to(scale.astype(np.float64), dtype).astype(np.float64)
    # Stored places past K belong to no group; they hold zeros.
    groups = np.minimum(groups, scale.shape[1] - 1)
    return round_to(values.astype(np.float64) * np.take_along_axis(scale, groups, axis=1), dtype)


def round_to(y: Array, dtype: np.dtype[Any]) -> Array:
    """float64 y rounded once, to nearest even, to dtype."""
    if is_integer(dtype):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(np.nan_to_num(y, nan=0)), limits.min, limits.max).astype(dtype)
    if dtype.itemsize < np.dtype(np.float32).itemsize and dtype != np.float16:
        y = _to_odd_float32(y)
    with np.errstate(over="ignore", invalid="ignore"):
        return y.astype(dtype)


def _to_odd_float32(y: Array) -> Array:
    """float64 y as float32, rounded to odd: inexact results get a 1 in the last place.

    ml_dtypes rounds float64 to its types by way of float32, that is twice. Rounding to odd keeps
    on which side of a tie y lies, so that the second rounding alone decides (Boldo and Melquiond,
    "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
    """
    with np.errstate(over="ignore"):
        toward_zero = y.astype(np.float32)
    too_large = np.abs(toward_zero.astype(np.float64)) > np.abs(y)
    toward_zero = np.where(too_large, np.nextafter(toward_zero, np.float32(0)), toward_zero)
    inexact = ~np.isnan(y) & (toward_zero.astype(np.float64) != y)
    return (toward_zero.view(np.uint32) | inexact).view(np.float32)
