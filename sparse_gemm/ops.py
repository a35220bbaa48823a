"""linear and matmul: compressed times dense, in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from sparse_gemm.arrays import Array, ArrayKind, adopted, kind_of
from sparse_gemm.format.compression import check, compress, prune
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.gemm import eager
from sparse_gemm.gemm.eager import Options
from sparse_gemm.gemm.epilogue import Terms

__all__ = ["check", "compress", "linear", "matmul", "prune"]


# The torch layer, once torch is in use: the module between users and `eager` for torch tensors and
# what decides whether a call must take it; and the shortcut around both.
_torch_layer: tuple[ModuleType, Callable[..., bool]] | None = None
_torch_shortcut: Callable[..., Array | None] | None = None


def _load_torch_layer() -> tuple[ModuleType, Callable[..., bool]]:
    global _torch_layer, _torch_shortcut
    from sparse_gemm.arrays import torch_state
    from sparse_gemm.torch_glue import operators, shortcut

    _torch_layer, _torch_shortcut = (operators, torch_state.needs_dispatcher), shortcut.linear
    return _torch_layer


if sys.modules.get("torch") is not None:  # at once, so that no compiler has to trace an import
    _load_torch_layer()


def _adopted(
    kind: ArrayKind, x: Array, terms: Terms, options: Options
) -> tuple[Array, Terms, Options]:
    """`x`, terms and options with arrays of a known kind, where `x` is another library's."""
    if kind.adopt is None:
        return x, terms, options
    arrays = ("bias", "scale_m", "scale_n", "residual", "gate")
    given = {name: adopted(getattr(terms, name), name) for name in arrays}
    options = options._replace(out=adopted(options.out, "out"))
    return kind.adopt(x), terms._replace(**given), options


def _callee(kind: ArrayKind, x: Array, a: Sparse24Tensor, terms: Terms) -> Any:
    """The module whose `linear` and `matmul` take calls on these."""
    if kind.name == "torch":
        operators, needs_dispatcher = _torch_layer or _load_torch_layer()
        values = getattr(a, "_values", None)  # whoever passes no matrix hears of it from eager
        if needs_dispatcher(x, values, *terms):
            return operators
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
    accumulate: str | None = None,
) -> Array:
    """y = silu(gate) * act(alpha * x_scale * w_scale * (x @ A.T) + bias) + beta * residual.

    Args:
        x: activations [..., in_features], any strides, of A's array kind and device, and of a type
            that goes with A's (below). 4-bit x is NumPy's ml_dtypes.int4 or, of any kind of array,
            uint8 [..., ceil(in_features/2)]: two elements a byte, the earlier in the low nibble.
        a: the weight, a Sparse24Tensor [out_features, in_features].
        bias: [out_features]; float32, float16 or bfloat16.
        activation: None, "relu", "gelu" (erf), "gelu_tanh" or "silu".
        x_scale: float32, one factor for each token (x's shape without its last dimension, or with
            1 there) or a single one.
        w_scale: float32, one factor for each output channel [out_features] or a single one;
            `a.scale` if not given. Scales of groups, which a may have, are part of A itself.
        residual, gate: [..., out_features]; float32, float16 or bfloat16.
        alpha, beta: factors of the product and of the residual (which needs a beta).
        out: where to write y; else a new array. It must not overlap any input.
        out_dtype: of y: float32, float16 or bfloat16, and of integer operands also int32 (the exact
            product: no other term may be given) and int8 (rounded to nearest even, saturated).
            Default: x's type; bfloat16 where x is float8; where x is an integer int32, or float32
            if there is a scale, bias, activation or other term.
        stream: the CUDA stream to compute on: a handle, a torch.cuda.Stream or a cupy.cuda.Stream.
            It is the array library's current stream for the length of the call, so that y is made
            on it too; default: what is current already. Other streams that made the inputs or use y
            are the caller's to keep in order. The CPU has none.
        backend: "auto" follows the arrays' device; "cpu" | "cuda".
        accumulate: "float32" | "float16": how products of float16 are summed; float16 is for CUDA
            devices. Default: float32, or as torch.backends.cuda.matmul.allow_fp16_accumulation has
            it for torch tensors on a CUDA device.

    Which types go together:
        a 2:4 float32, float16, bfloat16, int8   x of the same type
        a 2:4 int8, float8, int4 (weight-only)   x float16, bfloat16, or on the CPU float32
        a 2:4 float8_e4m3fn or float8_e5m2       x either of them; CUDA alone
        a 4:8 int4                               x int4; CUDA alone
        a 1:2 float32, rounded to tf32           x float32; CUDA alone, and for torch tensors only
                                                 while torch.backends.cuda.matmul.allow_tf32 is True
                                                 (NumPy and CuPy have no such switch: always)

    Returns:
        y [..., out_features], row-major, of x's array kind. Accumulated in float32 (integers:
        int32); the terms are applied in float32; one rounding to out_dtype at the end. An element q
        of a weight-only A counts as round(float(q) * round(scale of its group)), both rounded to
        x's type, or as q, which that type holds, if there are no scales of groups.

        The same call gives the same bits every time, whatever the number of threads and whoever
        comes first: sums split over CTAs are added in a fixed order. (So there is nothing that
        torch.use_deterministic_algorithms would have to change.) But on a CUDA device the plan, and
        with it the order of a sum, may depend on the number of tokens, and so may a token's last
        bits: feed batches of one size, padded if need be, where they must not.

        On a CUDA device the work is queued and not waited for; CUDA graphs may capture it.

    Raises:
        TypeError, ValueError: an argument does not fit; the message names it.
        UnsupportedError: no backend at hand multiplies these types on this device.
        RuntimeError: x (or another tensor) requires grad while gradients are enabled.
    """
    if (
        _torch_shortcut is not None
        and (residual is gate is out is stream is accumulate is None)
        and (alpha == 1.0 and beta == 0.0 and backend == "auto")
    ):
        y = _torch_shortcut(x, a, bias, activation, w_scale, x_scale, out_dtype)
        if y is not None:
            return y
    kind = kind_of(x, "x")
    terms = Terms(bias, activation, w_scale, x_scale, residual, gate, alpha, beta)
    options = Options(out, out_dtype, stream, backend, accumulate)
    x, terms, options = _adopted(kind, x, terms, options)
    return _callee(kind, x, a, terms).linear(x, a, terms, options)


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
    accumulate: str | None = None,
) -> Array:
    """D = silu(gate) * act(alpha * a_scale * b_scale * (A @ B) + bias) + beta * residual.

    Args:
        a: the sparse operand [M, K]; the left one, as the hardware has it. Or a batch of them
            [B, M, K], of which each is multiplied with a matrix of b or all with the same.
        b: [K], [K, N] or [..., K, N], any strides, of A's array kind and device; for a batch a
            [B, K, N] or [K, N]. On a CUDA device a whole batch is one launch. 4-bit b is
            ml_dtypes.int4, or uint8 [..., ceil(K/2), N] whose bytes follow one another along K.
        bias: [M], one for each row of D, the same for a whole batch, as the scales are.
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
    options = Options(out, out_dtype, stream, backend, accumulate)
    b, terms, options = _adopted(kind, b, terms, options)
    return _callee(kind, b, a, terms).matmul(a, b, terms, options)
