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
from sparse_gemm.devices import CPU
from sparse_gemm.epilogue import ACTIVATION_CODES
from sparse_gemm.tensor import Sparse24Tensor
from sparse_gemm.torch_state import PLAIN_TYPES, is_watched

# Torch without CUDA lacks it, and has no tensor that would ask for it.
_current_stream: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", lambda _: 0)
_CODES = {
    torch.float32: int(_C.DType.float32),
    torch.float16: int(_C.DType.float16),
    torch.bfloat16: int(_C.DType.bfloat16),
}


def _is_on(x: Tensor, cuda_index: int) -> bool:
    return x.is_cuda and x.get_device() == cuda_index


def linear(
    x: Tensor, a: Sparse24Tensor, bias: Tensor | None, activation: str | None
) -> Tensor | None:
    """act(x [N, K] @ A.T + bias), or None if there is anything to decide or to complain about."""
    if is_watched() or type(x) not in PLAIN_TYPES or type(a) is not Sparse24Tensor:
        return None
    dtype, shape, values, device = x.dtype, x.shape, a._values, a._cuda
    code = _CODES.get(dtype)
    m, k = a.shape
    if (
        code is None
        or dtype is not a.dtype
        or type(values) is not Tensor
        or len(shape) != 2
        or shape[1] != k
        or not (x.is_cpu and values.is_cpu if device == CPU else _is_on(x, device))
        or x.layout is not torch.strided
        or x.is_neg()
        or a.scale is not None
        or not x.is_contiguous()
        or activation not in ACTIVATION_CODES
    ):
        return None
    records_gradients = torch.is_grad_enabled()
    if records_gradients and x.requires_grad:
        return None
    if bias is not None and not (
        type(bias) in PLAIN_TYPES
        and bias.dtype is dtype
        and bias.shape == (m,)
        and (bias.is_cpu if device == CPU else _is_on(bias, device))
        and (bias.is_contiguous() and not bias.is_neg())
        and not (records_gradients and bias.requires_grad)
    ):
        return None
    y = x.new_empty(shape[0], m)
    arguments = (
        m,
        shape[0],
        k,
        values.data_ptr(),
        a._metadata.data_ptr(),
        code,
        a._pattern_number,
        x.data_ptr(),
        1,
        k,
        y.data_ptr(),
        code,
        1,
        m,
        0 if bias is None else bias.data_ptr(),
        code,
        1,
        ACTIVATION_CODES[activation],
    )
    if device == CPU:
        _C.gemm(*arguments, torch.get_num_threads(), None)
    else:
        _C.cuda_gemm(*arguments, device, _current_stream(device), None)
    return y
