"""The common call of `linear` on torch tensors, with as few questions asked as can be.

On a 64x64 layer the product takes half a microsecond on the CPU, and each question put to a tensor
a tenth of one. `linear` here asks only those that tell a plain call from any other; any other gets
None, and takes the long way in `ops`, which has the rest of the features and all of the error
messages.
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
from sparse_gemm.gemm.epilogue import ACTIVATION_CODES, ACTIVATIONS

# Torch without CUDA lacks it, and has no tensor that would ask for it.
_current_stream: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", lambda _: 0)
_TYPES = {
    torch.float32: _C.DType.float32,
    torch.float16: _C.DType.float16,
    torch.bfloat16: _C.DType.bfloat16,
}
_CODES = {native: int(code) for native, code in _TYPES.items()}
_FLOAT16 = int(_C.DType.float16)
_NO_GROUPS = (0, _FLOAT16, 0, 0)  # no scales of groups, and no batch of A
# Numbers of A's pattern and type -> types of x that a plain call may have.
_TYPES_OF_X = {
    (int(pattern), int(dtype)): frozenset(
        native
        for native, code in _CODES.items()
        if any(int(dense) == code for dense in type_rules.dense_types(pattern, dtype))
    )
    for pattern in _C.Pattern.__members__.values()
    for dtype in _C.DType.__members__.values()
}


def _is_on(x: Tensor, cuda_index: int) -> bool:
    return x.is_cuda and x.get_device() == cuda_index


def _is_plain(
    term: Tensor, dtype: torch.dtype, m: int, device: int, records_gradients: bool
) -> bool:
    """Whether a bias or scale is [m] as its memory is, of that type and on that device."""
    return (
        type(term) in PLAIN_TYPES
        and term.dtype is dtype
        and term.shape == (m,)
        and (term.is_cpu if device == CPU else _is_on(term, device))
        and (term.is_contiguous() and not term.is_neg())
        and not (records_gradients and term.requires_grad)
    )


def _epilogue(row_scale: Tensor, bias: Tensor | None, activation: str | None) -> _C.Epilogue:
    """What takes the place of bias and activation where each row has a factor."""
    epilogue = _C.Epilogue()
    epilogue.scale_m = _C.VectorOperand(row_scale.data_ptr(), _C.DType.float32, 1)
    epilogue.activation = ACTIVATIONS[activation]
    if bias is not None:
        epilogue.bias = _C.VectorOperand(bias.data_ptr(), _TYPES[bias.dtype], 1)
    return epilogue


def linear(
    x: Tensor, a: Sparse24Tensor, bias: Tensor | None, activation: str | None
) -> Tensor | None:
    """act(x [..., K] @ A.T + bias), or None if there is anything to decide or complain about."""
    if is_watched() or type(x) not in PLAIN_TYPES or type(a) is not Sparse24Tensor:
        return None
    dtype, shape, values, device = x.dtype, x.shape, a._values, a._cuda
    code, a_code = _CODES.get(dtype), a._dtype_number
    if (
        code is None
        or len(a.shape) != 2
        or dtype not in _TYPES_OF_X[a._pattern_number, a_code]
        or (dtype is torch.float32 and device != CPU)  # for tf32 there are settings to ask for
        or type(values) is not Tensor
        or not shape
        or shape[-1] != a.shape[1]
        or not (x.is_cpu and values.is_cpu if device == CPU else _is_on(x, device))
        or x.layout is not torch.strided
        or x.is_neg()
        or not x.is_contiguous()
        or activation not in ACTIVATION_CODES
    ):
        return None
    records_gradients = torch.is_grad_enabled()
    if records_gradients and x.requires_grad:
        return None
    m, k = a.shape
    if bias is not None and not _is_plain(bias, dtype, m, device, records_gradients):
        return None
    row_scale = a._row_scale
    if row_scale is not None and not _is_plain(
        row_scale, torch.float32, m, device, records_gradients
    ):
        return None
    scales = a._group_scales
    if len(shape) == 2:
        num_tokens = shape[0]
        y = x.new_empty(num_tokens, m)
    else:
        tokens = shape[:-1]
        num_tokens = tokens.numel()
        y = x.new_empty(*tokens, m)
    matrix = (m, k, values.data_ptr(), a._metadata.data_ptr(), a_code, a._pattern_number)
    groups = _NO_GROUPS
    if scales is not None:
        groups = (scales.data_ptr(), _CODES[scales.dtype], a.group_size or 0, 0)
    dense = (num_tokens, 1, x.data_ptr(), code, 1, k, 0, y.data_ptr(), code, 1, m, 0)
    address = 0 if bias is None else bias.data_ptr()
    terms = (address, code, 1, ACTIVATION_CODES[activation])
    epilogue = None if row_scale is None else _epilogue(row_scale, bias, activation)
    if device == CPU:
        _C.gemm(*matrix, *groups, *dense, *terms, 0, torch.get_num_threads(), epilogue)
    else:
        in_float16 = code == a_code == _FLOAT16 and prefers_float16_sums()
        place = (device, _current_stream(device))
        allocate = workspace.allocator(a._kind, y, device)
        _C.cuda_gemm(*matrix, *groups, *dense, *terms, in_float16, *place, epilogue, allocate)
    return y
