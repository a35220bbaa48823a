"""Random data on a device, and how long work on it takes, for each array library."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sparse_gemm import _C
from sparse_gemm.arrays import NUMPY_DTYPES, Array, ArrayKind, kind_of
from sparse_gemm.errors import UnsupportedError

_SEED = 20


class DeviceWork:
    """Arrays beside `like`, and times of what runs on the current stream."""

    def __init__(self, kind: ArrayKind, like: Array, is_emulated: bool, flush_bytes: int) -> None:
        """`flush_bytes`: written between measurements, so that nothing is found in L2."""
        self.is_emulated = is_emulated
        self._kind = kind
        self._like = like
        self._flush_bytes = flush_bytes
        self._random = np.random.default_rng(_SEED)

    def integers(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Of -1, 0 and 1."""
        return self._random.integers(-1, 2, shape, np.int8)

    def bytes(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Any."""
        return self._random.integers(0, 256, shape, np.uint8)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """N(0, 1)."""
        return self._random.standard_normal(shape, np.float32)

    def put(self, x: np.ndarray[Any, Any], dtype: _C.DType) -> Array:
        """`x` as that dtype."""
        return self.put_as_it_is(x.astype(NUMPY_DTYPES[dtype]))

    def put_as_it_is(self, x: np.ndarray[Any, Any]) -> Array:
        """`x`, which is nobody else's."""
        return self._kind.from_numpy(x, self._kind.device(self._like))

    def microseconds(self, run: Callable[[], object], count: int) -> list[float]:
        """How long `run` takes on the device, `count` times.

        Before each, more is written than L2 holds: besides emptying it that gives the host time to
        queue what is measured before the device gets there. An emulated device's times mean
        nothing, and one is enough.
        """
        if self.is_emulated:
            began = time.perf_counter()
            run()
            return [(time.perf_counter() - began) * 1e6]
        if self._kind.name == "torch":
            return self._torch_microseconds(run, count)
        return self._cupy_microseconds(run, count)

    def _torch_microseconds(self, run: Callable[[], object], count: int) -> list[float]:
        import torch

        make: Callable[..., Any] = torch.cuda.Event
        with torch.cuda.device(self._like.device):
            flushed = self._like.new_empty(self._flush_bytes, dtype=torch.uint8)
            pairs = [(make(enable_timing=True), make(enable_timing=True)) for _ in range(count)]
            for begin, end in pairs:
                flushed.zero_()
                begin.record()
                run()
                end.record()
            torch.cuda.synchronize()
            return [begin.elapsed_time(end) * 1e3 for begin, end in pairs]

    def _cupy_microseconds(self, run: Callable[[], object], count: int) -> list[float]:
        import cupy

        with self._like.device:
            flushed = cupy.empty(self._flush_bytes, np.uint8)
            pairs = [(cupy.cuda.Event(), cupy.cuda.Event()) for _ in range(count)]
            for begin, end in pairs:
                flushed.fill(0)
                begin.record()
                run()
                end.record()
            pairs[-1][1].synchronize()
            return [cupy.cuda.get_elapsed_time(begin, end) * 1e3 for begin, end in pairs]


def current_device() -> tuple[ArrayKind, str]:
    """The array library that can use the current CUDA device, torch before CuPy, and its name.

    Raises:
        UnsupportedError: neither can.
    """
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            empty = torch.empty(0, device="cuda")
            return kind_of(empty, "empty"), str(empty.device)
    if importlib.util.find_spec("cupy") is not None:
        import cupy

        empty = cupy.empty(0, np.uint8)
        kind = kind_of(empty, "empty")
        return kind, kind.device(empty)
    raise UnsupportedError("neither a torch with CUDA nor CuPy is installed")
