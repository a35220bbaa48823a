"""The operators as torch sees them: torch.ops.sparse_gemm.linear, .matmul and .to_dense.

Each takes a compressed matrix [M, K] as its parts (values, metadata, M, K, pattern), canonical or
packed, so that compilers, exporters and tracers see nothing but tensors. Fake kernels give shapes
and dtypes without data; the real ones call `eager`. None has a backward or a batching rule, and
says so.

Eager code does better to call sparse_gemm.linear, which passes the dispatcher by where it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from sparse_gemm import eager
from sparse_gemm._layer_format import is_packed, packed_shapes, stored_shapes
from sparse_gemm.arrays import kind_of
from sparse_gemm.devices import device_for, storage_backend
from sparse_gemm.epilogue import ACTIVATIONS, Terms
from sparse_gemm.tensor import Sparse24Tensor

__all__ = [
    "call_linear",
    "linear",
    "matmul",
    "operand",
    "to_dense",
]

_OPERAND = "Tensor values, Tensor metadata, SymInt out_features, SymInt in_features, str pattern"
_EPILOGUE = (
    "Tensor? bias=None, *, str? activation=None, Tensor? {}=None, Tensor? {}=None, "
    "Tensor? residual=None, Tensor? gate=None, float alpha=1.0, float beta=0.0, "
    'ScalarType? out_dtype=None, str backend="auto"'
)
_SCHEMAS = {
    "linear": f"(Tensor x, {_OPERAND}, {_EPILOGUE.format('x_scale', 'w_scale')}) -> Tensor",
    "matmul": f"({_OPERAND}, Tensor b, {_EPILOGUE.format('a_scale', 'b_scale')}) -> Tensor",
    "to_dense": f"({_OPERAND}) -> Tensor",
}

# Held for the life of the process: torch drops a Library's operators when it is collected.
_library: Any = torch.library.Library("sparse_gemm", "DEF")  # type: ignore[no-untyped-call]
for _name, _schema in _SCHEMAS.items():
    _library.define(_name + _schema, tags=(torch.Tag.pt2_compliant_tag,))

_unpack_dual: Callable[[Tensor], Any] = forward_ad.unpack_dual


def linear(
    x: Tensor,
    a: Sparse24Tensor,
    terms: Terms,
    out: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    stream: Any = None,
    backend: str = "auto",
) -> Tensor:
    """eager.linear through the dispatcher: the same arguments, the same result."""
    y = call_linear(
        *(x, a._values, a._metadata, *a.shape, a.pattern, terms.bias),
        w_scale=a.scale if terms.scale_m is None else terms.scale_m,
        x_scale=terms.scale_n,
        **_common_terms(terms, out, out_dtype, stream, backend),
    )
    return y if out is None else _copy_to(out, y)


def matmul(
    a: Sparse24Tensor,
    b: Tensor,
    terms: Terms,
    out: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    stream: Any = None,
    backend: str = "auto",
) -> Tensor:
    """eager.matmul through the dispatcher: the same arguments, the same result."""
    d = torch.ops.sparse_gemm.matmul.default(
        *(a._values, a._metadata, *a.shape, a.pattern, b, terms.bias),
        a_scale=a.scale if terms.scale_m is None else terms.scale_m,
        b_scale=terms.scale_n,
        **_common_terms(terms, out, out_dtype, stream, backend),
    )
    return cast(Tensor, d if out is None else _copy_to(out, d))


def call_linear(
    x: Tensor,
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    bias: Tensor | None = None,
    **epilogue: Any,
) -> Tensor:
    """torch.ops.sparse_gemm.linear: y [..., M] of x [..., in_features]."""
    y = torch.ops.sparse_gemm.linear.default(
        *(x, values, metadata, out_features, in_features, pattern, bias), **epilogue
    )
    return cast(Tensor, y)


def to_dense(
    values: Tensor, metadata: Tensor, out_features: int, in_features: int, pattern: str
) -> Tensor:
    """torch.ops.sparse_gemm.to_dense: the dense matrix [out_features, in_features]."""
    operand = (values, metadata, out_features, in_features, pattern)
    return cast(Tensor, torch.ops.sparse_gemm.to_dense.default(*operand))


def _common_terms(
    terms: Terms,
    out: Tensor | None,
    out_dtype: torch.dtype | None,
    stream: Any,
    backend: str,
) -> dict[str, Any]:
    """The keywords that linear and matmul share."""
    if stream is not None:
        raise ValueError(
            f"stream is {stream!r}, but a call that torch traces or compiles runs on torch's "
            "current stream: expected None"
        )
    return {
        "activation": terms.activation,
        "residual": terms.residual,
        "gate": terms.gate,
        "alpha": terms.alpha,
        "beta": terms.beta,
        "out_dtype": out.dtype if out_dtype is None and out is not None else _native(out_dtype),
        "backend": backend,
    }


def _native(dtype: Any) -> torch.dtype | None:
    """torch's own dtype for what a caller passed: that, a name, or None."""
    found = getattr(torch, dtype, dtype) if isinstance(dtype, str) else dtype
    if found is None or isinstance(found, torch.dtype):
        return found
    raise TypeError(f"out_dtype is {dtype!r}; expected a torch dtype")


def _copy_to(out: Tensor, result: Tensor) -> Tensor:
    # copy_ alone would broadcast and convert.
    if out.shape != result.shape or out.dtype != result.dtype:
        raise ValueError(
            f"out has shape {tuple(out.shape)} and dtype {out.dtype}; expected "
            f"{tuple(result.shape)} and {result.dtype}"
        )
    return out.copy_(result)


def _check_parts(
    values: Tensor, metadata: Tensor, out_features: int, in_features: int, pattern: str
) -> None:
    """Raises unless the parts have the shapes of one matrix, so that no kernel reads past an end.

    The nibbles are not looked at: whoever made the parts has, and it would cost at every call.
    """
    extents = (out_features, in_features)
    if out_features < 0 or in_features < 0:
        raise ValueError(f"out_features and in_features are {extents}; expected at least 0")
    if values.ndim not in (1, 2):
        raise ValueError(f"values has {values.ndim} dimensions; expected 2, or 1 if it is packed")
    shapes = packed_shapes(*extents) if is_packed(values) else stored_shapes(*extents, pattern)
    for name, part, shape in zip(("values", "metadata"), (values, metadata), shapes, strict=True):
        if tuple(part.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(part.shape)}; expected {shape} for a {pattern} matrix of "
                f"{out_features} rows and {in_features} columns"
            )
    if metadata.dtype is not torch.uint8:
        raise TypeError(f"metadata has dtype {metadata.dtype}; expected torch.uint8")


def operand(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    backend: str = "auto",
) -> Sparse24Tensor:
    """The matrix of an operator's arguments; canonical parts packed if `backend` reads those."""
    _check_parts(values, metadata, out_features, in_features, pattern)
    parts = (values.contiguous(), metadata.contiguous())
    shape = (out_features, in_features)
    if is_packed(values):
        device = device_for(kind_of(values, "values"), values, "values", "cuda")
        return Sparse24Tensor._of_parts(*parts, shape, pattern, cuda=device)
    backend = storage_backend(backend)  # autocast brings a CUDA layer of float32 here unpacked
    return Sparse24Tensor(*parts, shape, pattern=pattern, validate=False, backend=backend)


def _linear_kernel(
    x: Tensor,
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    x_scale: Tensor | None = None,
    w_scale: Tensor | None = None,
    residual: Tensor | None = None,
    gate: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    out_dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> Tensor:
    a = operand(values, metadata, out_features, in_features, pattern, backend)
    terms = Terms(bias, activation, w_scale, x_scale, residual, gate, alpha, beta)
    return cast(Tensor, eager.linear(x, a, terms, out_dtype=out_dtype, backend=backend))


def _matmul_kernel(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    b: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str | None = None,
    a_scale: Tensor | None = None,
    b_scale: Tensor | None = None,
    residual: Tensor | None = None,
    gate: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    out_dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> Tensor:
    a = operand(values, metadata, out_features, in_features, pattern, backend)
    terms = Terms(bias, activation, a_scale, b_scale, residual, gate, alpha, beta)
    return cast(Tensor, eager.matmul(a, b, terms, out_dtype=out_dtype, backend=backend))


def _to_dense_kernel(
    values: Tensor, metadata: Tensor, out_features: int, in_features: int, pattern: str
) -> Tensor:
    return cast(Tensor, operand(values, metadata, out_features, in_features, pattern).to_dense())


def _result_dtype(
    name: str, dense: Tensor, values: Tensor, out_dtype: torch.dtype | None, **terms: Any
) -> torch.dtype:
    """The output's dtype by the rule of sparse_gemm.linear."""
    if dense.dtype != values.dtype:
        raise TypeError(f"{name} has dtype {dense.dtype}; expected {values.dtype}, the weight's")
    if out_dtype is not None:
        return out_dtype
    if dense.dtype.is_floating_point:
        return dense.dtype
    plain = terms.pop("alpha", 1.0) == 1.0 and terms.pop("beta", 0.0) == 0.0
    return (
        torch.int32 if plain and not any(v is not None for v in terms.values()) else torch.float32
    )


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


def _linear_fake(
    x: Tensor,
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    bias: Tensor | None = None,
    *,
    out_dtype: torch.dtype | None = None,
    backend: str = "auto",
    **terms: Any,
) -> Tensor:
    _check_parts(values, metadata, out_features, in_features, pattern)
    if x.ndim == 0 or x.shape[-1] != in_features:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected [..., {in_features}]")
    _check_terms(x, "x", values, out_features, bias, **terms)
    dtype = _result_dtype("x", x, values, out_dtype, bias=bias, **terms)
    return x.new_empty((*x.shape[:-1], out_features), dtype=dtype)


def _matmul_fake(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    b: Tensor,
    bias: Tensor | None = None,
    *,
    out_dtype: torch.dtype | None = None,
    backend: str = "auto",
    **terms: Any,
) -> Tensor:
    _check_parts(values, metadata, out_features, in_features, pattern)
    if b.ndim == 0 or b.shape[max(b.ndim - 2, 0)] != in_features:
        raise ValueError(f"b has shape {tuple(b.shape)}; expected [..., {in_features}, N]")
    _check_terms(b, "b", values, out_features, bias, **terms)
    dtype = _result_dtype("b", b, values, out_dtype, bias=bias, **terms)
    columns = b.shape[-1:] if b.ndim > 1 else ()
    return b.new_empty((*b.shape[:-2], out_features, *columns), dtype=dtype)


def _to_dense_fake(
    values: Tensor, metadata: Tensor, out_features: int, in_features: int, pattern: str
) -> Tensor:
    _check_parts(values, metadata, out_features, in_features, pattern)
    return values.new_empty((out_features, in_features))


def _refuse_gradients(name: str, arguments: dict[str, Any]) -> None:
    tensors = {key: value for key, value in arguments.items() if isinstance(value, Tensor)}
    wanted: list[str] = []
    if torch.is_grad_enabled():
        wanted += [key for key, tensor in tensors.items() if tensor.requires_grad]
    if forward_ad._current_level >= 0:
        duals = {key: _unpack_dual(tensor) for key, tensor in tensors.items()}
        wanted += [key for key, dual in duals.items() if dual.tangent is not None]
    if wanted:
        raise RuntimeError(
            f"{', '.join(wanted)} requires grad and gradients are enabled, but sparse_gemm.{name} "
            "computes no gradients: call it under torch.no_grad() or torch.inference_mode(), or "
            "detach its arguments"
        )


def _autograd_kernel(name: str) -> Callable[..., Any]:
    """Refuses to be differentiated, backward or forward; else hands on to the kernel proper."""
    op = getattr(torch.ops.sparse_gemm, name).default
    names = [argument.name for argument in op._schema.arguments]

    def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_gradients(name, {**dict(zip(names, args, strict=False)), **kwargs})
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keyset & torch._C._after_autograd_keyset, *args, **kwargs)

    return kernel


def _vmap_kernel(name: str) -> Callable[..., NoReturn]:
    def kernel(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"sparse_gemm.{name} cannot run under torch.vmap; it takes any number of leading "
            "dimensions: pass the whole batch at once"
        )

    return kernel


def _register() -> None:
    kernels: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "linear": (_linear_kernel, _linear_fake),
        "matmul": (_matmul_kernel, _matmul_fake),
        "to_dense": (_to_dense_kernel, _to_dense_fake),
    }
    for name, (kernel, fake) in kernels.items():
        # `ops` knows which devices have a backend and says it better than the dispatcher would.
        _library.impl(name, kernel, "CPU")
        _library.impl(name, kernel, "CUDA")
        _library.impl(name, _autograd_kernel(name), "Autograd", with_keyset=True)
        _library.impl(name, _vmap_kernel(name), "FuncTorchBatched")
        torch.library.register_fake(f"sparse_gemm::{name}", fake, lib=_library)


_register()
