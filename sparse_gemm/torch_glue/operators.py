"""The operators as torch sees them: torch.ops.sparse_gemm.linear, .matmul and .to_dense.

Each takes a compressed matrix [M, K] as its parts (values, metadata, M, K, pattern; and scales of
groups, where there are any), canonical or packed, so that compilers, exporters and tracers see
nothing but tensors. Values of uint8 are int4's, two a byte. Fake kernels (`fakes`) give
shapes and dtypes without data; the real ones call `eager`. None has a backward or a batching rule,
and says so.

Eager code does better to call sparse_gemm.linear, which passes the dispatcher by where it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from sparse_gemm import _C
from sparse_gemm.arrays import kind_of
from sparse_gemm.arrays.devices import CPU, device_for, storage_backend
from sparse_gemm.errors import UnsupportedError
from sparse_gemm.format import device_format
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.gemm import eager
from sparse_gemm.gemm.eager import Options
from sparse_gemm.gemm.epilogue import Terms
from sparse_gemm.torch_glue import fakes, shortcut
from sparse_gemm.torch_glue.fakes import check_parts
from sparse_gemm.torch_glue.layer_format import is_packed

__all__ = [
    "call_linear",
    "linear",
    "matmul",
    "operand",
    "to_dense",
]

_OPERAND = "Tensor values, Tensor metadata, SymInt out_features, SymInt in_features, str pattern"
_GROUPS = "Tensor? group_scale=None, int? group_size=None"
_REST = (
    "Tensor? bias=None, *, str? activation=None, Tensor? {}=None, Tensor? {}=None, "
    "Tensor? residual=None, Tensor? gate=None, float alpha=1.0, float beta=0.0, "
    'ScalarType? out_dtype=None, str backend="auto", {}, str? accumulate=None'
)
_SCHEMAS = {
    "linear": f"(Tensor x, {_OPERAND}, {_REST.format('x_scale', 'w_scale', _GROUPS)}) -> Tensor",
    "matmul": f"({_OPERAND}, Tensor b, {_REST.format('a_scale', 'b_scale', _GROUPS)}) -> Tensor",
    "to_dense": f"({_OPERAND}) -> Tensor",
}

# Held for the life of the process: torch drops a Library's operators when it is collected.
_library: Any = torch.library.Library("sparse_gemm", "DEF")  # type: ignore[no-untyped-call]
for _name, _schema in _SCHEMAS.items():
    _library.define(_name + _schema, tags=(torch.Tag.pt2_compliant_tag,))

_NO_OPTIONS = Options()
_unpack_dual: Callable[[Tensor], Any] = forward_ad.unpack_dual


def linear(x: Tensor, a: Sparse24Tensor, terms: Terms, options: Options) -> Tensor:
    """eager.linear through the dispatcher: the same arguments, the same result."""
    eager.require_matrix(a, kind_of(x, "x"), "x")
    keywords = _common_keywords(a, terms, options)
    m, k = a.shape
    y = call_linear(
        *(x, a._values, a._metadata, m, k, a.pattern, terms.bias),
        w_scale=a._row_scale if terms.scale_m is None else terms.scale_m,
        x_scale=terms.scale_n,
        **keywords,
    )
    return y if options.out is None else _copy_to(options.out, y)


def matmul(a: Sparse24Tensor, b: Tensor, terms: Terms, options: Options) -> Tensor:
    """eager.matmul through the dispatcher: the same arguments, the same result."""
    eager.require_matrix(a, kind_of(b, "b"), "b")
    keywords = _common_keywords(a, terms, options)
    d = torch.ops.sparse_gemm.matmul.default(
        *(a._values, a._metadata, *a.shape, a.pattern, b, terms.bias),
        a_scale=a._row_scale if terms.scale_m is None else terms.scale_m,
        b_scale=terms.scale_n,
        **keywords,
    )
    return cast(Tensor, d if options.out is None else _copy_to(options.out, d))


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
    """torch.ops.sparse_gemm.to_dense: the dense matrix [out_features, in_features], unscaled; of
    int4 two elements a byte."""
    operand = (values, metadata, out_features, in_features, pattern)
    return cast(Tensor, torch.ops.sparse_gemm.to_dense.default(*operand))


def _common_keywords(a: Sparse24Tensor, terms: Terms, options: Options) -> dict[str, Any]:
    """The keywords that linear and matmul share."""
    if len(a.shape) != 2:
        raise UnsupportedError(
            f"a has shape {a.shape}: torch's operators of this package take one matrix [M, K], and "
            "torch traces, compiles or watches this call; expected a plain call of "
            "sparse_gemm.matmul, outside of it"
        )
    if a._dtype_code == _C.DType.uint4:  # whose values would pass for int4's
        raise device_format.unsupported(a._matrix, "a")
    if options.stream is not None:
        raise ValueError(
            f"stream is {options.stream!r}, but a call that torch traces or compiles runs on "
            "torch's current stream: expected None"
        )
    out, out_dtype = options.out, options.out_dtype
    if out_dtype is not None:
        out_dtype = a._kind.native(out_dtype, "out_dtype")
    elif out is not None:
        out_dtype = out.dtype
    return {
        "activation": terms.activation,
        "residual": terms.residual,
        "gate": terms.gate,
        "alpha": terms.alpha,
        "beta": terms.beta,
        "out_dtype": out_dtype,
        "backend": options.backend,
        "group_scale": a._group_scales,
        "group_size": a.group_size,
        "accumulate": options.accumulate,
    }


def _copy_to(out: Tensor, result: Tensor) -> Tensor:
    # copy_ alone would broadcast and convert.
    if out.shape != result.shape or out.dtype != result.dtype:
        raise ValueError(
            f"out has shape {tuple(out.shape)} and dtype {out.dtype}; expected "
            f"{tuple(result.shape)} and {result.dtype}"
        )
    return out.copy_(result)


def operand(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    backend: str = "auto",
    *,
    group_scale: Tensor | None = None,
    group_size: int | None = None,
    row_scale: Tensor | None = None,
) -> Sparse24Tensor:
    """The matrix of an operator's arguments; canonical parts packed if `backend` reads those."""
    shape = (out_features, in_features)
    check_parts(values, metadata, *shape, pattern, group_scale, group_size)
    parts = (values.contiguous(), metadata.contiguous())
    scales = None if group_scale is None else group_scale.contiguous()
    device = CPU
    if is_packed(values):
        device = device_for(kind_of(values, "values"), values, "values", "cuda")
    backend = storage_backend(backend)
    if device != CPU or (values.is_cpu and backend == "auto"):  # they are stored as they are used
        return Sparse24Tensor._of_parts(
            *(*parts, shape, pattern),
            scale=row_scale,
            group_scales=scales,
            group_size=group_size,
            cuda=device,
        )
    return Sparse24Tensor(
        *(*parts, shape),
        pattern=pattern,
        scale=row_scale if scales is None else scales,
        group_size=group_size,
        validate=False,
        backend=backend,  # autocast brings a CUDA layer of float32 here unpacked
    )


def _eager_arguments(
    parts: tuple[Tensor, Tensor, int, int, str],
    bias: Tensor | None,
    scale_m: Tensor | None,
    scale_n: Tensor | None,
    *,
    activation: str | None = None,
    residual: Tensor | None = None,
    gate: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    out_dtype: torch.dtype | None = None,
    backend: str = "auto",
    group_scale: Tensor | None = None,
    group_size: int | None = None,
    accumulate: str | None = None,
) -> tuple[Sparse24Tensor, Terms, Options]:
    """What `eager` takes, from what the schemas have; their defaults need not be given."""
    a = operand(*parts, backend, group_scale=group_scale, group_size=group_size)
    options = Options(out_dtype=out_dtype, backend=backend, accumulate=accumulate)
    return a, Terms(bias, activation, scale_m, scale_n, residual, gate, alpha, beta), options


def _linear_kernel(
    x: Tensor,
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    bias: Tensor | None = None,
    *,
    x_scale: Tensor | None = None,
    w_scale: Tensor | None = None,
    **keywords: Any,
) -> Tensor:
    parts = (values, metadata, out_features, in_features, pattern)
    a, terms, options = _eager_arguments(parts, bias, w_scale, x_scale, **keywords)
    if options._replace(out_dtype=None) == _NO_OPTIONS and terms.has_no_matrix_or_factor():
        y = shortcut.linear(
            *(x, a, bias, terms.activation, terms.scale_m, terms.scale_n), options.out_dtype
        )
        if y is not None:
            return y
    return cast(Tensor, eager.linear(x, a, terms, options))


def _matmul_kernel(
    values: Tensor,
    metadata: Tensor,
    out_features: int,
    in_features: int,
    pattern: str,
    b: Tensor,
    bias: Tensor | None = None,
    *,
    a_scale: Tensor | None = None,
    b_scale: Tensor | None = None,
    **keywords: Any,
) -> Tensor:
    parts = (values, metadata, out_features, in_features, pattern)
    a, terms, options = _eager_arguments(parts, bias, a_scale, b_scale, **keywords)
    return cast(Tensor, eager.matmul(a, b, terms, options))


def _to_dense_kernel(
    values: Tensor, metadata: Tensor, out_features: int, in_features: int, pattern: str
) -> Tensor:
    a = operand(values, metadata, out_features, in_features, pattern)
    return cast(Tensor, a._to_dense_packed() if values.dtype is torch.uint8 else a.to_dense())


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
        "linear": (_linear_kernel, fakes.linear),
        "matmul": (_matmul_kernel, fakes.matmul),
        "to_dense": (_to_dense_kernel, fakes.to_dense),
    }
    for name, (kernel, fake) in kernels.items():
        # `ops` knows which devices have a backend and says it better than the dispatcher would.
        _library.impl(name, kernel, "CPU")
        _library.impl(name, kernel, "CUDA")
        _library.impl(name, _autograd_kernel(name), "Autograd", with_keyset=True)
        _library.impl(name, _vmap_kernel(name), "FuncTorchBatched")
        torch.library.register_fake(f"sparse_gemm::{name}", fake, lib=_library)


_register()
