"""ArrayKind: what the package asks of an array library; and the tables of NumPy, torch and CuPy.

Importing this module imports neither torch nor CuPy.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from sparse_gemm import _C
from sparse_gemm._C import DType

Array = Any  # a NumPy, torch or CuPy array; which one is only known at run time

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


@dataclass(frozen=True, slots=True, eq=False)
class ArrayKind:
    """What the package asks of an array library; functions of an array `x` unless said otherwise.

    The functions are fields, not methods: most are C functions of the library itself.
    """

    name: str
    dtypes: dict[Any, DType]  # the library's dtype -> ours
    codes: dict[Any, int]  # the same as the number that `_C.gemm` takes
    native_dtypes: dict[DType, Any]  # and back
    uint8: Any  # the dtype of metadata
    address: Callable[[Array], int]  # of the first element
    strides: Callable[[Array], tuple[int, ...]]  # in elements
    is_contiguous: Callable[[Array], bool]  # in C order, without gaps
    device: Callable[[Array], str]  # "cpu", "cuda:0", ...
    cuda_index: Callable[[Array], int]  # of its CUDA device; -1 if it is elsewhere
    stream: Callable[[int], int]  # handle of the library's current stream on that CUDA device
    # (handle, CUDA device): a context in which that stream is the current one.
    on_stream: Callable[[int, int], AbstractContextManager[Any]]
    empty: Callable[[Array, Sequence[int], Any], Array]  # (like, shape, native dtype)
    filled_int64: Callable[[Array, int], Array]  # (like, value): a new array of that one element
    zeros_int32: Callable[[Array, int], Array]  # (like, count): a new array of that many zeros
    to_numpy: Callable[[Array], np.ndarray[Any, Any]]  # copied where need be
    # (x, device as `device` names it): the same elements there; copied where need be.
    from_numpy: Callable[[np.ndarray[Any, Any], str], Array]
    is_strided: Callable[[Array], bool]  # elements lie in memory at constant strides
    materialize: Callable[[Array], Array]  # x itself, unless its memory is to be read otherwise
    is_writable: Callable[[Array], bool]
    num_threads: Callable[[], int]  # that a call may use
    mark_written: Callable[[Array], Any]  # tells the library that memory of its own was written to
    # Whether the library records operations to differentiate through, and whether it would for x.
    gradients_enabled: Callable[[], bool]
    requires_gradient: Callable[[Array], bool]
    # Whether the library's user lets products of float32 round their operands to tf32, and prefers
    # sums of float16 products in float16.
    allows_tf32: Callable[[], bool]
    prefers_float16_sums: Callable[[], bool]
    # Of a foreign array alone: the array of a known kind that its memory is used as.
    adopt: Callable[[Array], Array] | None = None

    def native(self, dtype: Any, name: str) -> Any:
        """The library's own dtype for what a caller passed as `dtype`: its own, or a name.

        Raises:
            TypeError: no such dtype; `name` is what the caller calls the argument.
        """
        for ours, native in self.native_dtypes.items():
            if dtype == ours.name or dtype == native or _is_numpy_dtype(self, dtype, native):
                return native
        names = ", ".join(ours.name for ours in self.native_dtypes)
        raise TypeError(f"{name} is {dtype!r}; expected a {self.name} dtype among {names}")

    def address_of(self, x: Array, name: str) -> int:
        """The address of the first element of `x`, the argument called `name`.

        Raises:
            ValueError: `x` has elements but no memory (a stand-in for an array, say).
        """
        address = self.address(x)
        if address == 0 and 0 not in x.shape:
            raise ValueError(f"{name} has elements but no memory (address 0)")
        return address

    def dtype_of(self, x: Array, name: str) -> DType:
        """The dtype of `x`, the argument called `name`, as the C++ side names it.

        Raises:
            TypeError: the package has no use for that dtype.
        """
        dtype = self.dtypes.get(x.dtype)
        if dtype is None:
            names = ", ".join(ours.name for ours in self.native_dtypes)
            raise TypeError(f"{name} has dtype {x.dtype}; expected one of {names}")
        return dtype

    def require_strided(self, x: Array, name: str) -> None:
        """Raises TypeError if `x` has no elements that could be read at an address."""
        if not self.is_strided(x):
            raise TypeError(f"{name} is sparse, nested or opaque; expected a dense strided array")

    def refuse_gradients(self, **arguments: Array | None) -> None:
        """Raises RuntimeError if gradients are enabled and an argument requires them."""
        if not self.gradients_enabled():
            return
        for name, argument in arguments.items():
            if argument is not None and self.requires_gradient(argument):
                raise RuntimeError(
                    f"{name} requires grad and gradients are enabled, but sparse_gemm computes no "
                    "gradients. Call it under torch.no_grad() or torch.inference_mode(), or pass "
                    f"{name}.detach()"
                )


def _is_numpy_dtype(kind: ArrayKind, candidate: Any, native: Any) -> bool:
    """Whether `candidate` is another spelling of `native`, such as numpy.float32 the class."""
    try:
        return kind.name == "numpy" and bool(np.dtype(candidate) == native)
    except TypeError:
        return False


def _threads_without_torch() -> int:
    """OMP_NUM_THREADS, else the processors that this process may run on."""
    setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_THREADS_WITHOUT_TORCH = _threads_without_torch()


def available_threads() -> int:
    """How many threads a call may use: torch's setting if torch is loaded, else OMP_NUM_THREADS,
    else the processors that this process may run on."""
    torch = sys.modules.get("torch")
    # torch may be half-way through its own import, in another thread or in the one that asks.
    get_num_threads = getattr(torch, "get_num_threads", None)
    return int(get_num_threads()) if get_num_threads is not None else _THREADS_WITHOUT_TORCH


def _numpy_strides(x: Array) -> tuple[int, ...]:
    itemsize = x.itemsize
    if any(stride % itemsize for stride in x.strides):
        raise ValueError(
            f"an array has strides {x.strides} in bytes, which are not multiples of its {itemsize}"
            "-byte elements: pass numpy.ascontiguousarray of it"
        )
    return tuple(stride // itemsize for stride in x.strides)


def _never(*_: Any) -> bool:
    return False


def _nowhere(_: Any) -> int:
    return -1


def numpy_kind() -> ArrayKind:
    """NumPy's table."""
    return ArrayKind(
        name="numpy",
        dtypes={native: ours for ours, native in NUMPY_DTYPES.items()},
        codes={native: int(ours) for ours, native in NUMPY_DTYPES.items()},
        native_dtypes=NUMPY_DTYPES,
        uint8=np.dtype(np.uint8),
        address=operator.attrgetter("ctypes.data"),
        strides=_numpy_strides,
        is_contiguous=operator.attrgetter("flags.c_contiguous"),
        device=lambda _: "cpu",
        cuda_index=_nowhere,
        stream=lambda _: 0,
        on_stream=lambda *_: nullcontext(),
        empty=lambda _, shape, dtype: np.empty(shape, dtype),
        filled_int64=lambda _, value: np.full(1, value, np.int64),
        zeros_int32=lambda _, count: np.zeros(count, np.int32),
        to_numpy=np.asarray,
        from_numpy=lambda x, _: x,
        is_strided=lambda _: True,
        materialize=lambda x: x,
        is_writable=operator.attrgetter("flags.writeable"),
        num_threads=available_threads,
        mark_written=lambda _: None,
        gradients_enabled=_never,
        requires_gradient=_never,
        allows_tf32=lambda: True,
        prefers_float16_sums=_never,
    )


def torch_kind() -> ArrayKind:
    """Torch's table; imports torch."""
    import torch

    from sparse_gemm.arrays import torch_state

    _C.use_openmp_threads()  # those of the runtime that came with torch

    # torch has no 4-bit dtypes that hold data.
    native_dtypes = {
        ours: getattr(torch, ours.name)
        for ours in NUMPY_DTYPES
        if ours not in (DType.int4, DType.uint4)
    }
    dtypes = {native: ours for ours, native in native_dtypes.items()}
    types_numpy_lacks = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)

    def to_numpy(x: Array) -> np.ndarray[Any, Any]:
        host = x.detach().cpu().resolve_neg()
        if host.dtype in types_numpy_lacks:
            bits = host.view(torch.int16 if host.element_size() == 2 else torch.int8).numpy()
            return np.asarray(bits).view(NUMPY_DTYPES[dtypes[host.dtype]])
        return np.asarray(host.numpy())

    def on_stream(handle: int, device: int) -> AbstractContextManager[Any]:
        if not torch.cuda.is_available():  # the arrays are the emulated device's
            return nullcontext()
        # Handle 0, the default stream, is no pointer that torch would take for one.
        make: Callable[[int, int], Any] = torch.cuda.ExternalStream
        stream = make(handle, device) if handle else torch.cuda.default_stream(device)
        return torch.cuda.stream(stream)

    return ArrayKind(
        name="torch",
        dtypes=dtypes,
        codes={native: int(ours) for native, ours in dtypes.items()},
        native_dtypes=native_dtypes,
        uint8=torch.uint8,
        address=operator.methodcaller("data_ptr"),
        strides=operator.methodcaller("stride"),
        is_contiguous=operator.methodcaller("is_contiguous"),
        device=lambda x: str(x.device),
        cuda_index=lambda x: x.get_device() if x.is_cuda else -1,
        # Torch without CUDA has no such function, and no use for one.
        stream=getattr(torch._C, "_cuda_getCurrentRawStream", lambda _: 0),
        on_stream=on_stream,
        empty=lambda like, shape, dtype: like.new_empty(shape, dtype=dtype),
        filled_int64=lambda like, value: like.new_full((1,), value, dtype=torch.int64),
        zeros_int32=lambda like, count: like.new_zeros(count, dtype=torch.int32),
        to_numpy=to_numpy,
        from_numpy=torch_state.from_numpy,
        is_strided=lambda x: x.layout is torch.strided and not x.is_nested,
        materialize=operator.methodcaller("resolve_neg"),
        is_writable=lambda x: not (torch.is_grad_enabled() and x.requires_grad),
        num_threads=torch.get_num_threads,
        mark_written=torch.autograd.graph.increment_version,
        gradients_enabled=torch.is_grad_enabled,
        requires_gradient=operator.attrgetter("requires_grad"),
        allows_tf32=torch_state.allows_tf32,
        prefers_float16_sums=torch_state.prefers_float16_sums,
    )


def cupy_kind() -> ArrayKind:
    """CuPy's table; imports cupy."""
    import cupy

    def empty(like: Array, shape: Sequence[int], dtype: Any) -> Array:
        with like.device:
            return cupy.empty(shape, dtype)

    def filled_int64(like: Array, value: int) -> Array:
        with like.device:
            return cupy.full(1, value, np.int64)

    def zeros_int32(like: Array, count: int) -> Array:
        with like.device:
            return cupy.zeros(count, np.int32)

    def from_numpy(x: np.ndarray[Any, Any], device: str) -> Array:
        raw = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        with cupy.cuda.Device(int(device.removeprefix("cuda:"))):
            return cupy.asarray(raw).view(x.dtype).reshape(x.shape)

    def stream(device: int) -> int:
        with cupy.cuda.Device(device):
            return int(cupy.cuda.get_current_stream().ptr)

    @contextmanager
    def on_stream(handle: int, device: int) -> Iterator[None]:
        stream = cupy.cuda.ExternalStream(handle, device) if handle else cupy.cuda.Stream.null
        with cupy.cuda.Device(device), stream:  # a stream of another device than that is refused
            yield

    return replace(
        numpy_kind(),  # whose dtypes, strides and flags CuPy's are
        name="cupy",
        address=operator.attrgetter("data.ptr"),
        device=lambda x: f"cuda:{x.device.id}",
        cuda_index=operator.attrgetter("device.id"),
        stream=stream,
        on_stream=on_stream,
        empty=empty,
        filled_int64=filled_int64,
        zeros_int32=zeros_int32,
        to_numpy=cupy.asnumpy,
        from_numpy=from_numpy,
        is_writable=lambda _: True,
    )
