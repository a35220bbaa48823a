"""linear and matmul: compressed times dense, in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from sparse_gemm import eager
from sparse_gemm.arrays import Array, ArrayKind, adopted, kind_of
from sparse_gemm.compression import check, compress, prune
from sparse_gemm.epilogue import Terms
from sparse_gemm.tensor import Sparse24Tensor

__all__ = ["check", "compress", "linear", "matmul", "prune"]


# The torch layer, once torch is in use: the module between users and `eager` for torch tensors and
# what decides whether a call must take it; and the shortcut around both.
_torch_layer: tuple[ModuleType, Callable[..., bool]] | None = None
_torch_shortcut: Callable[..., Array | None] | None = None


def _load_torch_layer() -> tuple[ModuleType, Callable[..., bool]]:
    global _torch_layer, _torch_shortcut
    from sparse_gemm import torch_ops, torch_shortcut, torch_state

    _torch_layer, _torch_shortcut = (torch_ops, torch_state.needs_dispatcher), torch_shortcut.linear
    return _torch_layer


if sys.modules.get("torch") is not None:  # at once, so that no compiler has to trace an import
    _load_torch_layer()


def _adopted(kind: ArrayKind, x: Array, terms: Terms, out: Array | None) -> tuple[Array, ...]:
    """`x`, terms and `out` as arrays of a known kind, where `x` is another library's."""
    if kind.adopt is None:
        return x, terms, out
    arrays = ("bias", "scale_m", "scale_n", "residual", "gate")
    given = {name: adopted(getattr(terms, name), name) for name in arrays}
    return kind.adopt(x), terms._replace(**given), adopted(out, "out")


def _callee(kind: ArrayKind, x: Array, a: Sparse24Tensor, terms: Terms) -> Any:
    """The module whose `linear` and `matmul` take calls on these."""
    if kind.name == "torch":
        torch_ops, needs_dispatcher = _torch_layer or _load_torch_layer()
        values = getattr(a, "_values", None)  # whoever passes no matrix hears of it from eager
        if needs_dispatcher(x, values, *terms):
            return torch_ops
    return eager


def linear(
    x: Array,
    a: Sparse24Tensor,
    bias: Array | None = None,
    *,
    activation: str | None = None,
    x_scale: Array | None = None,
    w_scale: Array | None = None,
    residual: Array | None = None,
    gate: Array | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Array | None = None,
    out_dtype: Any = None,
    stream: Any = None,
    backend: str = "auto",
) -> Array:
    """y = silu(gate) * act(alpha * x_scale * w_scale * (x @ A.T) + bias) + beta * residual.

    Args:
        x: activations [..., in_features], any strides, of A's dtype, array kind and device.
        a: the weight, a Sparse24Tensor [out_features, in_features], pattern 2:4; float32, float16,
            bfloat16 or int8 on the CPU, float16 or bfloat16 on a CUDA device.
        bias: [out_features]; float32, float16 or bfloat16.
        activation: None, "relu", "gelu" (erf), "gelu_tanh" or "silu".
        x_scale: float32, one factor for each token (x's shape without its last dimension, or with
            1 there) or a single one.
        w_scale: float32, one factor for each output channel [out_features] or a single one;
            `a.scale` if not given.
        residual, gate: [..., out_features]; float32, float16 or bfloat16.
        alpha, beta: factors of the product and of the residual (which needs a beta).
        out: where to write y; else a new array. It must not overlap any input.
        out_dtype: of y. Default: x's dtype; for int8 operands int32 (then the product is exact and
            no other term may be given), or float32 if there is a scale, bias, activation or other
            term. int8 rounds to nearest even and saturates.
        stream: the CUDA stream to compute on: a handle, a torch.cuda.Stream or a cupy.cuda.Stream.
            It is the array library's current stream for the length of the call, so that y is made
            on it too; default: what is current already. Other streams that made the inputs or use y
            are the caller's to keep in order. The CPU has none.
        backend: "auto" follows the arrays' device; "cpu" | "cuda".

    Returns:
        y [..., out_features], row-major, of x's array kind. Accumulated in float32 (int8: int32);
        the terms are applied in float32; one rounding to out_dtype at the end. Bit for bit the same
        whatever the number of threads. On a CUDA device the work is queued and not waited for.

    Raises:
        TypeError, ValueError: an argument does not fit; the message names it.
        UnsupportedError: no backend at hand multiplies these types on this device.
        RuntimeError: x (or another tensor) requires grad while gradients are enabled.
    """
    kind = kind_of(x, "x")
    if (
        _torch_shortcut is not None
        and kind.name == "torch"
        and (x_scale is w_scale is residual is gate is out is out_dtype is stream is None)
        and (alpha == 1.0 and beta == 0.0 and backend == "auto")
    ):
        y = _torch_shortcut(x, a, bias, activation)
        if y is not None:
            return y
    terms = Terms(bias, activation, w_scale, x_scale, residual, gate, alpha, beta)
    x, terms, out = _adopted(kind, x, terms, out)
    return _callee(kind, x, a, terms).linear(x, a, terms, out, out_dtype, stream, backend)


def matmul(
    a: Sparse24Tensor,
    b: Array,
    *,
    bias: Array | None = None,
    activation: str | None = None,
    a_scale: Array | None = None,
    b_scale: Array | None = None,
    residual: Array | None = None,
    gate: Array | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Array | None = None,
    out_dtype: Any = None,
    stream: Any = None,
    backend: str = "auto",
) -> Array:
    """D = silu(gate) * act(alpha * a_scale * b_scale * (A @ B) + bias) + beta * residual.

    Args:
        a: the sparse operand [M, K]; the left one, as the hardware has it.
        b: [K], [K, N] or [..., K, N], any strides, of A's dtype, array kind and device.
        bias: [M], one for each row of D.
        a_scale: float32 [M] or a single one; `a.scale` if not given.
        b_scale: float32 [N] or a single one.
        residual, gate: of D's shape.
        The rest as for `linear`.

    Returns:
        D [..., M, N] ([M] for a vector b), row-major, of b's array kind; precision as for `linear`.

    Raises:
        As `linear`.
    """
    kind = kind_of(b, "b")
    terms = Terms(bias, activation, a_scale, b_scale, residual, gate, alpha, beta)
    b, terms, out = _adopted(kind, b, terms, out)
    return _callee(kind, b, a, terms).matmul(a, b, terms, out, out_dtype, stream, backend)
