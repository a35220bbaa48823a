"""linear and matmul on arrays that hold data: checks, then the C++ call.

User words (tokens, out_features) stop here; below, D[M,N] = A[M,K] @ B[K,N] with the sparse operand
A. `linear` hands x.T down as B and y.T as D: both are views, nothing is copied or transposed.

Nothing here asks whether a dispatcher wants to see the call: `ops` does, which is what users call,
and `torch_glue.operators`, which is what a dispatcher calls.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, NamedTuple

from sparse_gemm import _C
from sparse_gemm.arrays import Array, ArrayKind, kind_of, require_same_kind, workspace
from sparse_gemm.arrays.devices import CPU, check_backend, device_for, stream_handle
from sparse_gemm.errors import UnsupportedError
from sparse_gemm.format import device_format
from sparse_gemm.format.tensor import PACKED_DTYPES, Sparse24Tensor, pack_nibbles
from sparse_gemm.gemm import type_rules
from sparse_gemm.gemm.epilogue import (
    LINEAR_NAMES,
    MATMUL_NAMES,
    Built,
    Layout,
    Terms,
    build_epilogue,
    set_matrices,
)

# What `_C.gemm` takes for a bias (address, dtype, stride), an activation and two scales (address,
# stride): the epilogue has them.
_NO_TERMS = (0, int(_C.DType.float32), 1, int(_C.Activation.none), 0, 0, 0, 0)
_FLOAT16 = int(_C.DType.float16)
_PACKED = tuple(int(dtype) for dtype in PACKED_DTYPES)


class Options(NamedTuple):
    """What a caller may say besides operands and terms."""

    out: Array | None = None
    out_dtype: Any = None
    stream: Any = None
    backend: str = "auto"
    accumulate: str | None = None


class _Types(NamedTuple):
    """What follows from the operands' types: the dense one's, and how sums are kept."""

    dense: _C.DType
    sums_in_float16: bool


def linear(x: Array, a: Sparse24Tensor, terms: Terms, options: Options) -> Array:
    """`ops.linear` with its other arguments in two."""
    kind = kind_of(x, "x")
    types = _check_operands(kind, a, x, "x", options)
    if len(a.shape) != 2:
        raise ValueError(
            f"a has shape {a.shape}, a batch; expected one matrix [out_features, in_features]: "
            "sparse_gemm.matmul(a, b) takes a batch, with a b [B, in_features, tokens]"
        )
    if options.stream is not None:
        with kind.on_stream(stream_handle(options.stream), a._cuda):
            return linear(x, a, terms, options._replace(stream=None))
    m, k = a.shape
    shape = x.shape
    columns = _stored_extent(kind, x, k)
    if len(shape) == 0 or shape[-1] != columns:
        raise ValueError(
            f"x has shape {tuple(shape)}; expected [..., {columns}], as a has {a.shape}"
        )
    d_shape = (*shape[:-1], m)
    n = shape[0] if len(shape) == 2 else math.prod(shape[:-1])
    if a._row_scale is not None and terms.scale_m is None:
        terms = terms._replace(scale_m=a._row_scale)
    layout = Layout(m, d_shape, d_shape[:-1], True, LINEAR_NAMES)
    epilogue, held = build_epilogue(kind, a.device, terms, layout)
    kind.refuse_gradients(x=x, **terms.arrays(LINEAR_NAMES))
    b = _as_matrix(x, n, columns)
    if types.dense in PACKED_DTYPES:
        b = _two_a_byte(kind, b, "x")
    y = _result(kind, x, a, d_shape, types.dense, options, terms.is_empty())
    d = _as_matrix(y, n, m)
    _multiply(a, types, b, kind.strides(b)[::-1], d, kind.strides(d)[::-1], n, epilogue)
    del held  # kept the terms' arrays alive until here
    if options.out is not None:
        kind.mark_written(y)
    return y


def matmul(a: Sparse24Tensor, b: Array, terms: Terms, options: Options) -> Array:
    """`ops.matmul` with its other arguments in two."""
    kind = kind_of(b, "b")
    types = _check_operands(kind, a, b, "b", options)
    if options.stream is not None:
        with kind.on_stream(stream_handle(options.stream), a._cuda):
            return matmul(a, b, terms, options._replace(stream=None))
    m, k = a.shape[-2:]
    shape = tuple(b.shape)
    rows = _stored_extent(kind, b, k)
    if not shape or shape[max(len(shape) - 2, 0)] != rows:
        raise ValueError(
            f"b has shape {shape}; expected [..., {rows}, N], as a has shape {a.shape}"
        )
    batch = a.shape[:-2]
    if batch and (len(shape) == 1 or shape[:-2] not in ((), batch)):
        raise ValueError(
            f"b has shape {shape}; expected [{rows}, N] or [{batch[0]}, {rows}, N], as a has shape "
            f"{a.shape}"
        )
    if len(shape) == 1:
        given: dict[str, Any] = {"residual": terms.residual, "gate": terms.gate, "out": options.out}
        require_same_kind(kind, a.device, **given)
        _require_shapes((m,), **given)
        out = None if options.out is None else options.out[:, None]
        d = matmul(a, b[:, None], terms.as_columns(), options._replace(out=out))
        return d.reshape(m) if out is None else options.out
    n = shape[-1]
    d_shape = (*(batch or shape[:-2]), m, n)
    if a._row_scale is not None and terms.scale_m is None:
        terms = terms._replace(scale_m=a._row_scale)
    require_same_kind(kind, a.device, **terms.arrays(MATMUL_NAMES))
    kind.refuse_gradients(b=b, **terms.arrays(MATMUL_NAMES))
    _require_shapes(d_shape, residual=terms.residual, gate=terms.gate)
    d = _result(kind, b, a, d_shape, types.dense, options, terms.is_empty())
    if types.dense in PACKED_DTYPES:
        b = _two_a_byte(kind, b.swapaxes(-1, -2), "b").swapaxes(-1, -2)
    _multiply_all(kind, a, types, b, d, terms)
    if options.out is not None:
        kind.mark_written(d)
    return d


def _require_shapes(shape: tuple[int, ...], **arguments: Array | None) -> None:
    for name, x in arguments.items():
        if x is not None and tuple(x.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(x.shape)}; expected {shape}")


def _multiply_all(
    kind: ArrayKind,
    a: Sparse24Tensor,
    types: _Types,
    b: Array,
    d: Array,
    terms: Terms,
    built: Built | None = None,
) -> Built:
    """D = A @ B for each matrix of a batch: in one C++ call on a device, wherever the matrices of
    each array lie at one stride. A or B may be the same for all of them.

    Returns the epilogue, which another matrix of the batch can be `built` on: but for residual and
    gate the terms, which are checked only once, are the same.
    """
    m, n = d.shape[-2:]
    if d.ndim > 2 and 0 in d.shape[:-2]:  # no matrix to check the terms with
        terms = terms._replace(residual=None, gate=None, beta=0.0)
        layout = Layout(m, (m, n), (n,), False, MATMUL_NAMES)
        return build_epilogue(kind, a.device, terms, layout)
    if d.ndim > 2:
        arrays = (b, d, *(x for x in (terms.residual, terms.gate) if x is not None))
        if a._cuda == CPU or not all(_is_one_batch(kind, x) for x in arrays):
            for index in range(d.shape[0]):
                item = terms.map_matrices(operator.itemgetter(index))
                matrix = a._at(index) if len(a.shape) > 2 else a
                columns = b[index] if b.ndim > 2 else b
                built = _multiply_all(kind, matrix, types, columns, d[index], item, built)
            assert built is not None  # of the empty batch above
            return built
        b, d = b if b.ndim == 2 else _as_one_batch(b), _as_one_batch(d)
        terms = terms.map_matrices(_as_one_batch)
    layout = Layout(m, tuple(d.shape), (n,), False, MATMUL_NAMES)
    if built is None:
        built = build_epilogue(kind, a.device, terms, layout)
    else:
        set_matrices(kind, terms, layout, built)
    _multiply(a, types, b, kind.strides(b), d, kind.strides(d), n, built[0])
    return built  # and with it the terms' arrays, which had to live until here


def _is_one_batch(kind: ArrayKind, x: Array) -> bool:
    """Whether the leading dimensions of `x` [..., rows, columns] are as good as one."""
    steps = [
        (extent, stride)
        for extent, stride in zip(x.shape[:-2], kind.strides(x)[:-2], strict=True)
        if extent != 1
    ]
    pairs = itertools.pairwise(steps)
    return all(outer == inner * extent for (_, outer), (extent, inner) in pairs)


def _as_one_batch(x: Array) -> Array:
    return x if x.ndim == 3 else x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _multiply(
    a: Sparse24Tensor,
    types: _Types,
    b: Array,
    b_strides: tuple[int, ...],
    d: Array,
    d_strides: tuple[int, ...],
    n: int,
    epilogue: _C.Epilogue,
) -> None:
    """D[M,N] = A[M,K] @ B[K,N], where `a` is stored; the strides are those of B and of D, before
    which may come that from one matrix of a batch to the next. D has the whole batch."""
    kind = a._kind
    scales = a._group_scales
    arguments = (
        *a.shape[-2:],
        kind.address(a._values),
        kind.address(a._metadata),
        a._dtype_number,
        a._pattern_number,
        0 if scales is None else kind.address(scales),
        _FLOAT16 if scales is None else kind.codes[scales.dtype],
        a.group_size or 0,
        len(a.shape) > 2,
        n,
        d.shape[0] if d.ndim > 2 else 1,
        kind.address(b),
        int(types.dense),
        *b_strides[-2:],
        b_strides[0] if b.ndim > 2 else 0,
        kind.address(d),
        kind.codes[d.dtype],
        *d_strides[-2:],
        d_strides[0] if d.ndim > 2 else 0,
        *_NO_TERMS,
        types.sums_in_float16,
    )
    if a._cuda == CPU:
        _C.gemm(*arguments, kind.num_threads(), epilogue)
    else:
        allocate = workspace.allocator(kind, d, a._cuda)
        _C.cuda_gemm(*arguments, a._cuda, kind.stream(a._cuda), epilogue, allocate)


def require_matrix(a: Any, kind: ArrayKind, name: str) -> None:
    """Raises TypeError unless `a` is a matrix of that kind, as the dense operand `name` is."""
    if type(a) is not Sparse24Tensor:
        raise TypeError(
            f"a is a {type(a).__name__}; expected a Sparse24Tensor: make one with "
            "sparse_gemm.compress"
        )
    if a._kind is not kind:
        raise TypeError(f"{name} is a {kind.name} array; expected {a._kind.name}, as a is")


def _check_operands(
    kind: ArrayKind, a: Sparse24Tensor, x: Array, name: str, options: Options
) -> _Types:
    """What must hold before anything is computed: kinds, dtypes, devices, backend, stream."""
    require_matrix(a, kind, name)
    dense = _dense_type(kind, a, x, name)
    require_same_kind(kind, a.device, **{name: x})
    kind.require_strided(x, name)
    _check_place(kind, a, name, options)
    on_device = a._cuda != CPU
    in_float16 = type_rules.accumulates_in_float16(
        options.accumulate, a._dtype_code, dense, on_device and kind.prefers_float16_sums()
    )
    if in_float16 and not on_device:
        raise UnsupportedError(
            "accumulate is 'float16', but the cpu backend keeps sums in float32; expected None"
        )
    is_tf32 = on_device and a._dtype_code == dense == _C.DType.float32
    if is_tf32 and not kind.allows_tf32():
        raise UnsupportedError(
            "products of float32 on a CUDA device are of tf32, with 10 bits after the point, which "
            "torch's settings do not allow: torch.backends.cuda.matmul.allow_tf32 = True (or "
            "torch.set_float32_matmul_precision('high')) does, or move the matrix to the cpu"
        )
    return _Types(dense, in_float16)


def _dense_type(kind: ArrayKind, a: Sparse24Tensor, x: Array, name: str) -> _C.DType:
    if a.dtype == x.dtype and a.group_size is None and a._dtype_number not in _PACKED:
        return a._dtype_code
    found = kind.dtypes.get(x.dtype)
    if x.dtype == kind.uint8 and a._dtype_code in PACKED_DTYPES:
        found = a._dtype_code
    rule = (a._pattern_code, a._dtype_code, found, x.dtype, name, a.group_size)
    return type_rules.check_types(*rule)


def _check_place(kind: ArrayKind, a: Sparse24Tensor, name: str, options: Options) -> None:
    """That `a` is stored for the backend that is asked for, and a stream only for a device."""
    if a._cuda != CPU:
        check_backend(options.backend)
        if options.backend == "cpu":
            raise ValueError(
                f"backend is 'cpu', but a is stored for the cuda backend, on {a.device}: move it "
                "to the cpu, or leave backend at 'auto'"
            )
        return
    if device_for(kind, a._values, "a", options.backend) != CPU:
        if not _C.packed_supports(a._pattern_code, a._dtype_code):
            raise device_format.unsupported(a._matrix, "a")
        raise UnsupportedError(
            "backend is 'cuda', but a is stored for the cpu: compress it with backend='cuda'"
        )
    if options.stream is not None:
        raise ValueError(f"stream is {options.stream!r}; expected None, as {name} is on the cpu")


def _stored_extent(kind: ArrayKind, x: Array, k: int) -> int:
    """The extent of `x` along K, of which there are two elements in a byte."""
    return (k + 1) // 2 if x.dtype == kind.uint8 else k


def _two_a_byte(kind: ArrayKind, x: Array, name: str) -> Array:
    """4-bit elements [..., K] as bytes [..., ceil(K/2)], which may be what they are already."""
    if x.dtype == kind.uint8:
        if x.shape[-1] > 1 and kind.strides(x)[-1] != 1:
            raise ValueError(
                f"{name} has strides {kind.strides(x)}; expected bytes that follow one another "
                "along K, as each holds two elements of it"
            )
        return x
    rows = pack_nibbles(kind.to_numpy(x).reshape(math.prod(x.shape[:-1]), x.shape[-1]))
    return rows.reshape(*x.shape[:-1], rows.shape[1])


def _result(
    kind: ArrayKind,
    x: Array,
    a: Sparse24Tensor,
    shape: tuple[int, ...],
    dense: _C.DType,
    options: Options,
    exact: bool,
) -> Array:
    """The array to write to: `out` if it fits, else a new one. `exact`: D is the plain product."""
    out, out_dtype = options.out, options.out_dtype
    if out is not None:
        require_same_kind(kind, a.device, out=out)
        kind.require_strided(out, "out")
        kind.dtype_of(out, "out")
    if out is not None and out_dtype is None:
        native = out.dtype
    elif out_dtype is not None:
        native = kind.native(out_dtype, "out_dtype")
    else:
        native = kind.native_dtypes[type_rules.default_result(dense, exact)]
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
