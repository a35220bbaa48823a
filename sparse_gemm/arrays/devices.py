"""Where a call runs: which backend takes an array, on which CUDA device; stream handles.

A CUDA device is named by its index, as the array libraries and the C++ side do; CPU is -1.
"""

from __future__ import annotations

import functools
from typing import Any

from sparse_gemm import _C
from sparse_gemm.arrays import Array, ArrayKind
from sparse_gemm.errors import UnsupportedError

BACKENDS = ("auto", "cpu", "cuda")
CPU = -1


def check_backend(backend: str) -> None:
    """Raises ValueError unless there is such a backend."""
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; expected 'auto', 'cpu' or 'cuda'")


@functools.cache
def _emulated() -> bool:
    return _C.cuda_device_count() > 0 and _C.cuda_device(0).emulated


def device_for(kind: ArrayKind, x: Array, name: str, backend: str = "auto") -> int:
    """Where the data of `x`, the argument called `name`, is to be worked on: CPU, or a CUDA device.

    "auto" follows the array. Host memory goes to a CUDA device by "cuda" alone, and only if that
    device is an emulated one, whose memory is the host's.

    Raises:
        ValueError: no such backend, or it is "cpu" and the array is on a device.
        UnsupportedError: the array is where no backend of this build and machine can read it.
    """
    check_backend(backend)
    index = kind.cuda_index(x)
    if index < 0:
        if kind.device(x) != "cpu":
            raise UnsupportedError(
                f"{name} is on {kind.device(x)}, where no backend reads: move it to the cpu or to "
                "a CUDA device"
            )
        if backend != "cuda":
            return CPU
        if _emulated():
            return 0
        raise UnsupportedError(
            f"backend is 'cuda', but {name} is on the cpu: move it to a CUDA device, or leave "
            f"backend at 'auto'{_no_device()}"
        )
    if backend == "cpu":
        raise ValueError(
            f"backend is 'cpu', but {name} is on {kind.device(x)}: move it to the cpu, or leave "
            "backend at 'auto'"
        )
    if index >= _C.cuda_device_count():
        raise UnsupportedError(
            f"{name} is on {kind.device(x)}, but the cuda backend cannot use it{_no_device()}: "
            "move it to the cpu"
        )
    return index


def _no_device() -> str:
    reason = _C.cuda_unavailable_reason()
    return f" ({reason})" if reason else ""


def storage_backend(backend: str) -> str:
    """The backend to store a layer's weight for while it lies in host memory: "cuda" on an emulated
    device alone, so that a layer for CUDA can be made on the cpu and moved later."""
    return "cuda" if backend == "cuda" and _emulated() else "auto"


def stream_handle(stream: Any) -> int:
    """The handle of a CUDA stream: a number, or an object of torch's or CuPy's that has one.

    Raises:
        TypeError: neither.
        ValueError: a negative handle.
    """
    for handle in (stream, getattr(stream, "cuda_stream", None), getattr(stream, "ptr", None)):
        if isinstance(handle, int) and not isinstance(handle, bool):
            if handle < 0:
                raise ValueError(f"stream is {handle}; expected a handle, which is not negative")
            return handle
    raise TypeError(
        f"stream is a {type(stream).__name__}; expected None (the array library's current stream), "
        "an integer handle, a torch.cuda.Stream or a cupy.cuda.Stream"
    )
