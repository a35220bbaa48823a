"""What torch is about just now: whether a call may go straight to C++, or something looks on; and
what its table of functions needs that is no question to torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = [
    "PLAIN_TYPES",
    "allows_tf32",
    "autocast",
    "from_numpy",
    "is_watched",
    "needs_dispatcher",
    "prefers_float16_sums",
]

_num_dispatch_modes = torch._C._len_torch_dispatch_stack
_num_function_modes = torch._C._len_torch_function_stack
_innermost_transform = torch._C._functorch.peek_interpreter_stack
_jit_trace = torch._C._get_tracing_state
PLAIN_TYPES = (Tensor, torch.nn.Parameter)
# Older versions of torch have no such switch.
prefers_float16_sums: Callable[[], bool] = getattr(
    torch._C, "_get_cublas_allow_fp16_accumulation", lambda: False
)


def allows_tf32() -> bool:
    """Whether torch's own products of float32 on CUDA devices may be tf32's."""
    matmul = torch.backends.cuda.matmul
    # Once the newer of the two switches has been used, the older one cannot be read.
    precision = getattr(matmul, "fp32_precision", None)
    return bool(matmul.allow_tf32) if precision is None else precision == "tf32"


def from_numpy(x: np.ndarray[Any, Any], device: str) -> Tensor:
    """The same elements as a tensor there, whatever their type; copied where need be."""
    owned = np.ascontiguousarray(x)
    if not owned.flags.writeable:
        owned = owned.copy()
    raw = torch.from_numpy(owned.reshape(-1).view(np.uint8)).to(device)
    return raw.view(getattr(torch, x.dtype.name)).reshape(x.shape)


def is_watched() -> bool:
    """Whether torch compiles, exports, traces or differentiates forward just now, or one of its
    dispatch or function modes or torch.func transforms is on."""
    return (
        torch.compiler.is_compiling()
        or _num_dispatch_modes() > 0
        or _num_function_modes() > 0
        or _innermost_transform() is not None
        or _jit_trace() is not None
        or forward_ad._current_level >= 0
    )


def needs_dispatcher(*tensors: Any) -> bool:
    """Whether a call must go through torch's dispatcher: something looks on, or stands in for data.

    True while torch `is_watched`, and if a tensor is on the meta device, is another's negative by
    flag alone, or is of a subclass (fake and functional tensors, torch.fx's proxies). Arguments of
    other kinds do not count.
    """
    if is_watched():
        return True
    for tensor in tensors:
        if type(tensor) in PLAIN_TYPES:
            if tensor.is_meta or tensor.is_neg():
                return True
        elif isinstance(tensor, (Tensor, torch.fx.Proxy)):
            return True
    return False


def autocast(tensor: Any, dtype: torch.dtype) -> Any:
    """The rule of torch.autocast: floating-point tensors are rounded, float64 and None are not."""
    if tensor is None or not tensor.is_floating_point() or tensor.dtype is torch.float64:
        return tensor
    return tensor.to(dtype)
