"""The common call of `linear` on torch tensors, with as few questions asked as can be.

On a 64x64 layer the product takes half a microsecond on the CPU, and each question put to a tensor
a tenth of one. `linear` here asks only those that tell a plain call from any other; any other gets
None, and takes the long way in `ops`, which has the rest of the features and all of the error
messages.

In the CPU's memory the questions are asked by C++ (`_C.torch_linear`), of torch from 2.10 on, which
answers them by DLPack's C exchange API; for CUDA devices and an older torch they are asked here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparse_gemm import _C
from sparse_gemm.arrays import workspace
from sparse_gemm.arrays.devices import CPU
from sparse_gemm.arrays.torch_state import PLAIN_TYPES, is_watched, prefers_float16_sums
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.gemm import type_rules
from sparse_gemm.gemm.epilogue import ACTIVATION_CODES

# Torch without CUDA lacks it, and has no tensor that would ask for it.
_current_stream: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", lambda _: 0)
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)
_CODES = {
    torch.float32: int(_C.DType.float32),
    torch.float16: int(_C.DType.float16),
    torch.bfloat16: int(_C.DType.bfloat16),
    torch.int8: int(_C.DType.int8),
    torch.int32: int(_C.DType.int32),  # of results only
}
_FLOAT16 = int(_C.DType.float16)
_NO_GROUPS = (0, _FLOAT16, 0, 0)  # no scales of groups, and no batch of A
_NO_BIAS = (0, _FLOAT16, 1)
_NO_SCALE = (0, 0)
# Numbers of A's pattern and type -> types of x that a plain call may have.
_TYPES_OF_X = {
    (int(pattern), int(dtype)): frozenset(
        native
        for native in (*_FLOATS, torch.int8)
        if any(int(dense) == _CODES[native] for dense in type_rules.dense_types(pattern, dtype))
    )
    for pattern in _C.Pattern.__members__.values()
    for dtype in _C.DType.__members__.values()
}
_exchange_api = getattr(Tensor, "__dlpack_c_exchange_api__", None)
if _exchange_api is not None:
    _C.use_torch(
        _exchange_api,
        *(*PLAIN_TYPES, Sparse24Tensor),
        *(torch.is_grad_enabled, torch.get_num_threads),
        {name: code for name, code in ACTIVATION_CODES.items() if name is not None},
        _CODES,
        {stored: {_CODES[native] for native in types} for stored, types in _TYPES_OF_X.items()},
    )


def _is_on(x: Tensor, cuda_index: int) -> bool:
    return x.is_cuda and x.get_device() == cuda_index


def _is_plain(term: Tensor, device: int, records_gradients: bool) -> bool:
    """Whether a bias or a scale is as its memory is, and on that device."""
    return (
        type(term) in PLAIN_TYPES
        and (term.layout is torch.strided and not term.is_nested)
        and (term.is_cpu if device == CPU else _is_on(term, device))
        and (term.is_contiguous() and not term.is_neg())
        and not (records_gradients and term.requires_grad)
    )


def _bias(term: Tensor, m: int, device: int, records_gradients: bool) -> tuple[int, ...] | None:
    """What `_C.gemm` takes for it, or None."""
    if not (_is_plain(term, device, records_gradients) and term.shape == (m,)):
        return None
    dtype, address = term.dtype, term.data_ptr()
    is_there = address != 0 or m == 0
    return (address, _CODES[dtype], 1) if is_there and dtype in _FLOATS else None


def _scale(
    term: Tensor, shape: tuple[int, ...], device: int, records_gradients: bool
) -> tuple[int, int] | None:
    """What `_C.gemm` takes for factors along `shape`, or for one for all; or None."""
    if not (_is_plain(term, device, records_gradients) and term.dtype is torch.float32):
        return None
    found, address = term.shape, term.data_ptr()
    if address == 0 and found.numel() > 0:
        return None
    if found.numel() == 1:
        return address, 0
    return (address, 1) if found in (shape, (*shape, 1)) else None


def _result_type(
    dtype: torch.dtype, is_exact: bool, out_dtype: torch.dtype | None
) -> torch.dtype | None:
    """Of a product with an x of type `dtype`, or None. `is_exact`: there are no terms."""
    is_integer = dtype is torch.int8
    if out_dtype is None:
        out_dtype = dtype if not is_integer else torch.int32 if is_exact else torch.float32
    if out_dtype is torch.int32 and not (is_integer and is_exact):
        return None
    return out_dtype if type(out_dtype) is torch.dtype and out_dtype in _CODES else None


def _multiply(
    x: Tensor,
    code: int,
    a: Sparse24Tensor,
    y: Tensor,
    result_code: int,
    num_tokens: int,
    terms: tuple[int, ...],
) -> None:
    """y = the product of x, both as num_tokens rows, where `a` is stored."""
    (m, k), device, a_code, scales = a.shape, a._cuda, a._dtype_number, a._group_scales
    matrix = (m, k, a._values.data_ptr(), a._metadata.data_ptr(), a_code, a._pattern_number)
    groups = _NO_GROUPS
    if scales is not None:
        groups = (scales.data_ptr(), _CODES[scales.dtype], a.group_size or 0, 0)
    dense = (num_tokens, 1, x.data_ptr(), code, 1, k, 0, y.data_ptr(), result_code, 1, m, 0)
    if device == CPU:
        _C.gemm(*matrix, *groups, *dense, *terms, 0, torch.get_num_threads(), None)
    else:
        in_float16 = code == a_code == _FLOAT16 and prefers_float16_sums()
        place = (device, _current_stream(device))
        allocate = workspace.allocator(a._kind, y, device)
        _C.cuda_gemm(*matrix, *groups, *dense, *terms, in_float16, *place, None, allocate)


def linear(
    x: Tensor,
    a: Sparse24Tensor,
    bias: Tensor | None,
    activation: str | None,
    w_scale: Tensor | None = None,
    x_scale: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor | None:
    """act(x_scale * w_scale * (x [..., K] @ A.T) + bias), or None if there is anything to decide or
    to complain about."""
    if is_watched():
        return None
    y: Tensor | None = _C.torch_linear(x, a, bias, activation, w_scale, x_scale, out_dtype)
    return _linear(x, a, bias, activation, w_scale, x_scale, out_dtype) if y is None else y


def _linear(
    x: Tensor,
    a: Sparse24Tensor,
    bias: Tensor | None,
    activation: str | None,
    w_scale: Tensor | None,
    x_scale: Tensor | None,
    out_dtype: torch.dtype | None,
) -> Tensor | None:
    """The same where C++ does not ask."""
    if type(x) not in PLAIN_TYPES or type(a) is not Sparse24Tensor:
        return None
    if x.layout is not torch.strided or x.is_nested:  # of which some have no shape to ask for
        return None
    dtype, shape, values, device = x.dtype, x.shape, a._values, a._cuda
    code = _CODES.get(dtype)
    if (
        code is None
        or len(a.shape) != 2
        or dtype not in _TYPES_OF_X[a._pattern_number, a._dtype_number]
        or (dtype is torch.float32 and device != CPU)  # for tf32 there are settings to ask for
        or (dtype is torch.int8 and a._group_scales is not None)
        or type(values) is not Tensor
        or not shape
        or shape[-1] != a.shape[1]
        or not (x.is_cpu and values.is_cpu if device == CPU else _is_on(x, device))
        or x.is_neg()
        or not x.is_contiguous()
        or (activation is not None and type(activation) is not str)
        or activation not in ACTIVATION_CODES
    ):
        return None
    records_gradients = torch.is_grad_enabled()
    if records_gradients and x.requires_grad:
        return None
    m = a.shape[0]
    if w_scale is None:
        w_scale = a._row_scale
    is_exact = bias is None and activation is None and w_scale is None and x_scale is None
    result = _result_type(dtype, is_exact, out_dtype)
    bias_term: tuple[int, ...] | None = _NO_BIAS
    scale_m: tuple[int, int] | None = _NO_SCALE
    scale_n: tuple[int, int] | None = _NO_SCALE
    if bias is not None:
        bias_term = _bias(bias, m, device, records_gradients)
    if w_scale is not None:
        scale_m = _scale(w_scale, (m,), device, records_gradients)
    if x_scale is not None:
        scale_n = _scale(x_scale, shape[:-1], device, records_gradients)
    if result is None or bias_term is None or scale_m is None or scale_n is None:
        return None
    if len(shape) == 2 and result is dtype:
        num_tokens = shape[0]
        y = x.new_empty(num_tokens, m)
    else:
        tokens = shape[:-1]
        num_tokens = tokens.numel()
        y = x.new_empty(*tokens, m, dtype=result)
    terms = (*bias_term, ACTIVATION_CODES[activation], *scale_m, *scale_n)
    _multiply(x, code, a, y, _CODES[result], num_tokens, terms)
    return y
