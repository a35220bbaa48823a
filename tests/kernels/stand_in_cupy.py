"""A stand-in for CuPy over host memory: what the package uses of it, and nothing else."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

_current_device = 0
_current_handles: dict[int, int] = {}  # of the stream, for each device; else 0, the default one
streams_asked_for: list[tuple[int, int]] = []  # the device, and the handle that the package got


class Device:
    """cupy.cuda.Device: a number, and a context in which allocations go to it."""

    def __init__(self, index: int) -> None:
        self.id = index

    def __enter__(self) -> Device:
        global _current_device
        self._before, _current_device = _current_device, self.id
        return self

    def __exit__(self, *_: object) -> None:
        global _current_device
        _current_device = self._before


class ExternalStream:
    """cupy.cuda.ExternalStream: a handle, and a context in which it is the current stream."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        self.ptr, self.device_id = ptr, device_id

    def __enter__(self) -> ExternalStream:
        if self.device_id not in (-1, _current_device):
            raise RuntimeError(f"a stream of device {self.device_id} on device {_current_device}")
        self._device, self._before = _current_device, _current_handles.get(_current_device, 0)
        _current_handles[_current_device] = self.ptr
        return self

    def __exit__(self, *_: object) -> None:
        _current_handles[self._device] = self._before


class ndarray:  # noqa: N801
    """cupy.ndarray around a NumPy array."""

    def __init__(self, host: Any, device: int | None = None) -> None:
        self.host = host
        self.device = Device(_current_device if device is None else device)

    def __getattr__(self, name: str) -> Any:
        if name in ("dtype", "shape", "strides", "ndim", "flags", "itemsize", "nbytes"):
            return getattr(self.host, name)
        raise AttributeError(name)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.host.ctypes.data)

    @property
    def T(self) -> ndarray:  # noqa: N802
        return ndarray(self.host.T, self.device.id)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.host.__array_interface__, "version": 3, "stream": None}

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(np.asarray(self.host[index]), self.device.id)

    def __int__(self) -> int:
        return int(self.host)

    def reshape(self, *shape: int) -> ndarray:
        return ndarray(self.host.reshape(*shape), self.device.id)


ndarray.__module__ = "cupy"


def _get_current_stream() -> Any:
    handle = _current_handles.get(_current_device, 0)
    streams_asked_for.append((_current_device, handle))
    return types.SimpleNamespace(ptr=handle)


def _asarray(x: Any) -> ndarray:
    """Zero-copy, as CuPy's for an object with `__cuda_array_interface__`."""
    interface = types.SimpleNamespace(__array_interface__=x.__cuda_array_interface__)
    host = np.asarray(interface)
    return ndarray(host.view(x.dtype) if hasattr(x, "dtype") else host)


def module() -> types.ModuleType:
    """What goes to sys.modules["cupy"]."""
    cupy = types.ModuleType("cupy")
    cupy.ndarray = ndarray
    cupy.empty = lambda shape, dtype: ndarray(np.empty(shape, dtype))
    cupy.full = lambda shape, value, dtype: ndarray(np.full(shape, value, dtype))
    cupy.asnumpy = lambda x: np.array(x.host)
    cupy.asarray = _asarray
    cupy.from_dlpack = lambda x: ndarray(np.from_dlpack(x.host), x.__dlpack_device__()[1])
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        ExternalStream=ExternalStream,
        Stream=types.SimpleNamespace(null=ExternalStream(0)),
        get_current_stream=_get_current_stream,
    )
    return cupy
