"""What torch is about just now: whether a call may go straight to C++, or something looks on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["PLAIN_TYPES", "is_watched", "needs_dispatcher"]

_num_dispatch_modes = torch._C._len_torch_dispatch_stack
_num_function_modes = torch._C._len_torch_function_stack
_innermost_transform = torch._C._functorch.peek_interpreter_stack
_jit_trace = torch._C._get_tracing_state
PLAIN_TYPES = (Tensor, torch.nn.Parameter)


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
