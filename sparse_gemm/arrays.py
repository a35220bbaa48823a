"""Array kinds: NumPy arrays and torch tensors behind one small interface.

Everything that differs between array libraries is here: how to ask an array for its dtype, address,
strides and device, and how to make a new one beside it. The rest of the package sees `ArrayKind`
alone. A new kind (CuPy) is one more subclass and one more row in `_KINDS_BY_MODULE`; importing this
module imports neither torch nor CuPy.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from sparse_gemm._C import DType

Array = Any  # a NumPy array or a torch tensor; which one is only known at run time

NUMPY_DTYPES: dict[DType, Any] = {
    DType.float32: np.dtype(np.float32),
    DType.float16: np.dtype(np.float16),
    DType.bfloat16: np.dtype(ml_dtypes.bfloat16),
    DType.int8: np.dtype(np.int8),
    DType.float8_e4m3fn: np.dtype(ml_dtypes.float8_e4m3fn),
    DType.float8_e5m2: np.dtype(ml_dtypes.float8_e5m2),
    DType.int32: np.dtype(np.int32),
    DType.int4: np.dtype(ml_dtypes.int4),
    DType.uint4: np.dtype(ml_dtypes.uint4),
}


def available_threads() -> int:
    """How many threads a call may use: torch's setting if torch is there, else OMP_NUM_THREADS,
    else the processors that this process may run on."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    return _THREADS_WITHOUT_TORCH


def _threads_without_torch() -> int:
    setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_THREADS_WITHOUT_TORCH = _threads_without_torch()


class ArrayKind(ABC):
    """What the package asks of an array library."""

    name: str
    dtypes: dict[Any, DType]  # the library's dtype -> ours
    native_dtypes: dict[DType, Any]  # and back
    uint8: Any  # the dtype of metadata

    @abstractmethod
    def address(self, x: Array) -> int:
        """The address of the first element."""

    @abstractmethod
    def strides(self, x: Array) -> tuple[int, ...]:
        """Strides in elements."""

    @abstractmethod
    def empty(self, like: Array, shape: Sequence[int], dtype: Any) -> Array:
        """A new C-contiguous array on the device of `like`; `dtype` is the library's own."""

    @abstractmethod
    def device(self, x: Array) -> str:
        """The device's name, such as "cpu" or "cuda:0"."""

    @abstractmethod
    def is_on_cpu(self, x: Array) -> bool:
        """Whether the elements are in host memory."""

    @abstractmethod
    def is_contiguous(self, x: Array) -> bool:
        """Whether the elements lie in C order without gaps."""

    @abstractmethod
    def require_writable(self, out: Array) -> None:
        """Raises ValueError if nothing may be written to `out`."""

    def gradients_enabled(self) -> bool:
        """Whether the library is recording operations to differentiate through."""
        return False

    def refuse_gradients(self, **arguments: Array) -> None:
        """Raises RuntimeError if an argument would have to be differentiated through."""

    def must_dispatch(self, x: Array) -> bool:
        """Whether calls on `x` must go through the library's own dispatcher (`dispatched_ops`)."""
        return False

    def dispatched_ops(self) -> Any:
        """A module with `linear` and `matmul` as operators of the library's dispatcher."""
        raise NotImplementedError

    @abstractmethod
    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array, copied where need be (for messages and small checks)."""

    def native(self, dtype: Any, name: str) -> Any:
        """The library's own dtype for what a caller passed as `dtype` (its own, or a name)."""
        if dtype in self.dtypes:
            return dtype
        for ours, native in self.native_dtypes.items():
            if dtype == ours.name or (self.name == "numpy" and _is_numpy_dtype(dtype, native)):
                return native
        names = ", ".join(ours.name for ours in self.native_dtypes)
        raise TypeError(f"{name} is {dtype!r}; expected a {self.name} dtype among {names}")


def _is_numpy_dtype(candidate: Any, native: Any) -> bool:
    try:
        return bool(np.dtype(candidate) == native)
    except TypeError:
        return False


class NumpyKind(ArrayKind):
    """NumPy arrays, with the extra dtypes of ml_dtypes."""

    name = "numpy"

    def __init__(self) -> None:
        """Takes the table of dtypes as it stands above."""
        self.uint8 = np.dtype(np.uint8)
        self.native_dtypes = NUMPY_DTYPES
        self.dtypes = {native: ours for ours, native in NUMPY_DTYPES.items()}

    def address(self, x: Array) -> int:
        """The address of the first element."""
        return int(x.ctypes.data)

    def strides(self, x: Array) -> tuple[int, ...]:
        """Strides in elements; an array whose strides are not whole elements is refused."""
        itemsize = x.itemsize
        if any(stride % itemsize for stride in x.strides):
            raise ValueError(
                f"an array has strides {x.strides} in bytes, not multiples of its {itemsize}-byte "
                "elements; pass numpy.ascontiguousarray of it"
            )
        return tuple(stride // itemsize for stride in x.strides)

    def empty(self, like: Array, shape: Sequence[int], dtype: Any) -> Array:
        """A new C-contiguous array."""
        return np.empty(shape, dtype)

    def device(self, x: Array) -> str:
        """Always the host."""
        return "cpu"

    def is_on_cpu(self, x: Array) -> bool:
        """Always."""
        return True

    def is_contiguous(self, x: Array) -> bool:
        """Whether the elements lie in C order without gaps."""
        return bool(x.flags.c_contiguous)

    def require_writable(self, out: Array) -> None:
        """Raises ValueError for a read-only array."""
        if not out.flags.writeable:
            raise ValueError("out is read-only; expected an array that can be written to")

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """The array itself."""
        return np.asarray(x)


class TorchKind(ArrayKind):
    """torch tensors. torch is imported by whoever made the tensor."""

    name = "torch"

    def __init__(self) -> None:
        """Reads torch's dtypes; torch has no 4-bit ones that hold data."""
        import torch

        self._torch = torch
        self._is_grad_enabled = torch.is_grad_enabled
        self.uint8 = torch.uint8
        self.native_dtypes = {
            ours: getattr(torch, ours.name)
            for ours in NUMPY_DTYPES
            if ours not in (DType.int4, DType.uint4)
        }
        self.dtypes = {native: ours for ours, native in self.native_dtypes.items()}

    def address(self, x: Array) -> int:
        """The address of the first element."""
        return int(x.data_ptr())

    def strides(self, x: Array) -> tuple[int, ...]:
        """Strides in elements."""
        return tuple(x.stride())

    def empty(self, like: Array, shape: Sequence[int], dtype: Any) -> Array:
        """A new contiguous tensor on the device of `like`."""
        return like.new_empty(shape, dtype=dtype)

    def device(self, x: Array) -> str:
        """The device's name, such as "cpu" or "cuda:0"."""
        return str(x.device)

    def is_on_cpu(self, x: Array) -> bool:
        """Whether the elements are in host memory."""
        return bool(x.is_cpu)

    def is_contiguous(self, x: Array) -> bool:
        """Whether the elements lie in C order without gaps."""
        return bool(x.is_contiguous())

    def require_writable(self, out: Array) -> None:
        """Raises ValueError for a tensor that autograd watches."""
        if out.requires_grad and self._is_grad_enabled():
            raise ValueError("out requires grad; expected a tensor that does not")

    def gradients_enabled(self) -> bool:
        """Whether autograd is recording."""
        return bool(self._is_grad_enabled())

    def must_dispatch(self, x: Array) -> bool:
        """True while compiling or tracing, under a mode, and for tensors that hold no data."""
        return bool(self.dispatched_ops().needs_dispatcher(x))

    def dispatched_ops(self) -> Any:
        """torch.ops.sparse_gemm, behind the same signatures as `ops`."""
        from sparse_gemm import torch_ops  # here, since torch_ops builds on ops and this module

        return torch_ops

    def refuse_gradients(self, **arguments: Array) -> None:
        """Raises RuntimeError if an argument requires grad."""
        for name, argument in arguments.items():
            if argument.requires_grad:
                raise RuntimeError(
                    f"{name} requires grad and gradients are enabled, but sparse_gemm computes no "
                    "gradients. Call it under torch.no_grad() or torch.inference_mode(), or pass "
                    f"{name}.detach()"
                )

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; the types NumPy lacks become those of ml_dtypes."""
        torch = self._torch
        host = x.detach().cpu()
        if host.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
            bits = torch.int16 if host.element_size() == 2 else torch.int8
            return np.asarray(host.view(bits).numpy()).view(NUMPY_DTYPES[self.dtypes[host.dtype]])
        return np.asarray(host.numpy())


_KINDS_BY_MODULE: dict[str, type[ArrayKind]] = {"numpy": NumpyKind, "torch": TorchKind}
_kinds: dict[str, ArrayKind] = {}
_kind_of_type: dict[type, ArrayKind] = {}


def kind_of(x: Array, name: str) -> ArrayKind:
    """The kind of `x`, the argument called `name`.

    Raises:
        TypeError: `x` is not an array of a known kind; the message says what is.
    """
    kind = _kind_of_type.get(type(x))
    if kind is None:
        kind = _resolve_kind(type(x), name)
    return kind


def _resolve_kind(array_type: type, name: str) -> ArrayKind:
    is_array = {"numpy": ("ndarray",), "torch": ("Tensor",)}
    for base in array_type.__mro__:
        module = base.__module__.split(".")[0]
        if module in _KINDS_BY_MODULE and base.__name__ in is_array[module]:
            kind = _kinds.get(module)
            if kind is None:
                kind = _kinds.setdefault(module, _KINDS_BY_MODULE[module]())
            _kind_of_type[array_type] = kind
            return kind
    raise TypeError(
        f"{name} is a {array_type.__module__}.{array_type.__qualname__}; expected a NumPy array or "
        "a torch tensor"
    )


def dtype_of(kind: ArrayKind, x: Array, name: str) -> DType:
    """The dtype of `x` as the C++ side names it.

    Raises:
        TypeError: the package has no use for that dtype.
    """
    dtype = kind.dtypes.get(x.dtype)
    if dtype is None:
        names = ", ".join(ours.name for ours in kind.native_dtypes)
        raise TypeError(f"{name} has dtype {x.dtype}; expected one of {names}")
    return dtype


def require_same_kind(kind: ArrayKind, device: str, **arguments: Array | None) -> None:
    """Checks that each given argument is of `kind` and on `device`.

    Raises:
        TypeError: another array library's array.
        ValueError: another device.
    """
    for name, argument in arguments.items():
        if argument is None:
            continue
        other = kind_of(argument, name)
        if other is not kind:
            raise TypeError(f"{name} is a {other.name} array; expected {kind.name}, as the others")
        if other.device(argument) != device:
            raise ValueError(
                f"{name} is on {other.device(argument)}; expected {device}, where the others are"
            )
