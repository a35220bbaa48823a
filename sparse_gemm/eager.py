"""linear and matmul on arrays that hold data: checks, then the C++ call.

User words (tokens, out_features) stop here; below, D[M,N] = A[M,K] @ B[K,N] with the sparse operand
A. `linear` hands x.T down as B and y.T as D: both are views, nothing is copied or transposed.

Nothing here asks whether a dispatcher wants to see the call: `ops` does, which is what users call,
and `torch_ops`, which is what a dispatcher calls.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from sparse_gemm import _C, device_format
from sparse_gemm.arrays import Array, ArrayKind, kind_of, require_same_kind
from sparse_gemm.devices import CPU, check_backend, device_for, stream_handle
from sparse_gemm.epilogue import LINEAR_NAMES, MATMUL_NAMES, Layout, Terms, build_epilogue
from sparse_gemm.errors import UnsupportedError
from sparse_gemm.tensor import Sparse24Tensor

# What `_C.gemm` takes for a bias (address, dtype, stride) and an activation: the epilogue has them.
_NO_BIAS_NOR_ACTIVATION = (0, int(_C.DType.float32), 1, int(_C.Activation.none))


def linear(
    x: Array,
    a: Sparse24Tensor,
    terms: Terms,
    out: Array | None = None,
    out_dtype: Any = None,
    stream: Any = None,
    backend: str = "auto",
) -> Array:
    """`ops.linear` with its terms in one argument."""
    kind = kind_of(x, "x")
    _check_operands(kind, a, x, "x", stream, backend)
    if stream is not None:
        with kind.on_stream(stream_handle(stream), a._cuda):
            return linear(x, a, terms, out, out_dtype, None, backend)
    m, k = a.shape
    shape = x.shape
    if len(shape) == 0 or shape[-1] != k:
        raise ValueError(f"x has shape {tuple(shape)}; expected [..., {k}], as a has {a.shape}")
    d_shape = (*shape[:-1], m)
    n = shape[0] if len(shape) == 2 else math.prod(shape[:-1])
    if a.scale is not None and terms.scale_m is None:
        terms = terms._replace(scale_m=a.scale)
    layout = Layout(m, d_shape, d_shape[:-1], True, LINEAR_NAMES)
    epilogue, held = build_epilogue(kind, a.device, terms, layout)
    kind.refuse_gradients(x=x, **terms.arrays(LINEAR_NAMES))
    b = _as_matrix(x, n, k)
    y = _result(kind, x, a, d_shape, out, out_dtype, terms.is_empty())
    d = _as_matrix(y, n, m)
    _multiply(a, b, kind.strides(b)[::-1], d, kind.strides(d)[::-1], n, epilogue)
    del held  # kept the terms' arrays alive until here
    if out is not None:
        kind.mark_written(out)
    return y


def matmul(
    a: Sparse24Tensor,
    b: Array,
    terms: Terms,
    out: Array | None = None,
    out_dtype: Any = None,
    stream: Any = None,
    backend: str = "auto",
) -> Array:
    """`ops.matmul` with its terms in one argument; one C++ call for each matrix of a batch."""
    kind = kind_of(b, "b")
    _check_operands(kind, a, b, "b", stream, backend)
    if stream is not None:
        with kind.on_stream(stream_handle(stream), a._cuda):
            return matmul(a, b, terms, out, out_dtype, None, backend)
    m, k = a.shape
    shape = tuple(b.shape)
    if not shape or shape[max(len(shape) - 2, 0)] != k:
        raise ValueError(f"b has shape {shape}; expected [..., {k}, N], as a has shape {a.shape}")
    if len(shape) == 1:
        column_out = None if out is None else out[:, None]
        d = matmul(a, b[:, None], terms.as_columns(), column_out, out_dtype, None, backend)
        return d.reshape(m) if out is None else out
    n = shape[-1]
    d_shape = (*shape[:-2], m, n)
    if a.scale is not None and terms.scale_m is None:
        terms = terms._replace(scale_m=a.scale)
    require_same_kind(kind, a.device, **terms.arrays(MATMUL_NAMES))
    kind.refuse_gradients(b=b, **terms.arrays(MATMUL_NAMES))
    for name, matrix in (("residual", terms.residual), ("gate", terms.gate)):
        if matrix is not None and tuple(matrix.shape) != d_shape:
            raise ValueError(f"{name} has shape {tuple(matrix.shape)}; expected {d_shape}")
    d = _result(kind, b, a, d_shape, out, out_dtype, terms.is_empty())
    layout = Layout(m, (m, n), (n,), False, MATMUL_NAMES)
    if 0 in shape[:-2]:  # no matrix to check the terms with
        build_epilogue(kind, a.device, terms._replace(residual=None, gate=None, beta=0.0), layout)
    for index in itertools.product(*map(range, shape[:-2])):
        epilogue, held = build_epilogue(kind, a.device, terms.at(index), layout)
        b_item, d_item = b[index], d[index]
        strides = kind.strides(b_item), kind.strides(d_item)
        _multiply(a, b_item, strides[0], d_item, strides[1], n, epilogue)
        del held  # kept the terms' arrays alive until here
    if out is not None:
        kind.mark_written(out)
    return d


def _multiply(
    a: Sparse24Tensor,
    b: Array,
    b_strides: tuple[int, ...],
    d: Array,
    d_strides: tuple[int, ...],
    n: int,
    epilogue: _C.Epilogue,
) -> None:
    """D[M,N] = A[M,K] @ B[K,N], where `a` is stored; the strides are those of B and of D."""
    kind = a._kind
    arguments = (
        a.shape[0],
        n,
        a.shape[1],
        kind.address(a._values),
        kind.address(a._metadata),
        kind.codes[b.dtype],
        a._pattern_number,
        kind.address(b),
        *b_strides,
        kind.address(d),
        kind.codes[d.dtype],
        *d_strides,
        *_NO_BIAS_NOR_ACTIVATION,
    )
    if a._cuda == CPU:
        _C.gemm(*arguments, kind.num_threads(), epilogue)
    else:
        _C.cuda_gemm(*arguments, a._cuda, kind.stream(a._cuda), epilogue)


def _check_operands(
    kind: ArrayKind, a: Sparse24Tensor, x: Array, name: str, stream: Any, backend: str
) -> None:
    """What must hold before anything is computed: kinds, dtypes, devices, backend, stream."""
    if type(a) is not Sparse24Tensor:
        raise TypeError(
            f"a is a {type(a).__name__}; expected a Sparse24Tensor: make one with "
            "sparse_gemm.compress"
        )
    if a._kind is not kind:
        raise TypeError(f"{name} is a {kind.name} array; expected {a._kind.name}, as a is")
    if a.dtype != x.dtype:
        raise TypeError(f"{name} has dtype {x.dtype}; expected {a.dtype}, as a has")
    require_same_kind(kind, a.device, **{name: x})
    kind.require_strided(x, name)
    if a._cuda != CPU:
        check_backend(backend)
        if backend == "cpu":
            raise ValueError(
                f"backend is 'cpu', but a is stored for the cuda backend, on {a.device}: move it "
                "to the cpu, or leave backend at 'auto'"
            )
        return
    if device_for(kind, a._values, "a", backend) != CPU:
        if not _C.packed_supports(a._pattern_code, a._dtype_code):
            raise device_format.unsupported(a._matrix, "a")
        raise UnsupportedError(
            "backend is 'cuda', but a is stored for the cpu: compress it with backend='cuda'"
        )
    if stream is not None:
        raise ValueError(f"stream is {stream!r}; expected None, as {name} is on the cpu")


def _result(
    kind: ArrayKind,
    x: Array,
    a: Sparse24Tensor,
    shape: tuple[int, ...],
    out: Array | None,
    out_dtype: Any,
    exact: bool,
) -> Array:
    """The array to write to: `out` if it fits, else a new one. `exact`: D is the plain product."""
    if out is not None:
        require_same_kind(kind, a.device, out=out)
        kind.require_strided(out, "out")
        kind.dtype_of(out, "out")
    if out is not None and out_dtype is None:
        native = out.dtype
    elif out_dtype is not None:
        native = kind.native(out_dtype, "out_dtype")
    elif a._dtype_code == _C.DType.int8:
        native = kind.native_dtypes[_C.DType.int32 if exact else _C.DType.float32]
    else:
        native = x.dtype
    if not exact and native == kind.native_dtypes[_C.DType.int32]:
        raise ValueError(
            "out_dtype is int32, which holds the exact product; expected no scale, bias, "
            "activation or other term (or another out_dtype)"
        )
    if out is None:
        return kind.empty(x, shape, native)
    if tuple(out.shape) != shape or out.dtype != native:
        raise ValueError(
            f"out has shape {tuple(out.shape)} and dtype {out.dtype}; expected {shape} and {native}"
        )
    if out.ndim > 2 and not kind.is_contiguous(out):
        raise ValueError(
            "out is not contiguous; expected a contiguous array, or a matrix of any strides"
        )
    steps = zip(shape, kind.strides(out), strict=True)
    if any(extent > 1 and step == 0 for extent, step in steps):
        raise ValueError(f"out has strides {kind.strides(out)}; expected elements of their own")
    if not kind.is_writable(out):
        raise ValueError("out is read-only, or autograd watches it; expected one to write to")
    return out


def _as_matrix(x: Array, rows: int, columns: int) -> Array:
    """`x` [..., columns] as a matrix [rows, columns]."""
    return x if x.ndim == 2 else x.reshape(rows, columns)
