"""Host arrays as the emulated device's memory: each call sees exactly the arrays it was given.

The package asks an array for its address in one place, `ArrayKind.address`, and calls CUDA through
the functions `_C.cuda_*`. Both are wrapped here: addresses asked for since the last call are
registered with the stand-in runtime, to the byte, for the length of the next one.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sparse_gemm import _C, arrays

_CUDA_FUNCTIONS = ("prune", "check", "compress", "decompress", "pack", "unpack", "gemm")
_MAX_FINDING_BYTES = 4096


class EmulatedDevice:
    """The stand-in runtime of this process."""

    def __init__(self) -> None:
        self._runtime = ctypes.CDLL("libcudart.so.13")
        self._runtime.cudaHostRegister.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
        self._runtime.cudaHostUnregister.argtypes = (ctypes.c_void_p,)
        self._runtime.emulatorSetSeed.argtypes = (ctypes.c_uint64,)
        # Held until the call is over: no other array can come to lie where one of them was.
        self._given: list[tuple[arrays.ArrayKind, Any]] = []

    def install(self) -> None:
        """Wraps the package; to be called before it has seen any array."""
        for key, make in arrays._MAKERS.items():
            arrays._MAKERS[key] = self._recording(make)
        arrays._kinds.clear()
        arrays._kind_of_type.clear()
        for name in _CUDA_FUNCTIONS:
            setattr(_C, f"cuda_{name}", self._registering(getattr(_C, f"cuda_{name}")))

    def findings(self) -> list[str]:
        """What the emulator has found since the last `clear_findings`."""
        texts = []
        for index in range(self._runtime.emulatorFindingCount()):
            text = ctypes.create_string_buffer(_MAX_FINDING_BYTES)
            self._runtime.emulatorFindingText(index, text, ctypes.c_size_t(_MAX_FINDING_BYTES))
            texts.append(text.value.decode())
        return texts

    def clear_findings(self) -> None:
        """Forgets them; the exit status of emulator/run does not."""
        self._runtime.emulatorClearFindings()

    def set_seed(self, seed: int) -> None:
        """Of schedules and of the time at which copies land, from the next launch on."""
        self._runtime.emulatorSetSeed(seed)

    def launches(self, run: Callable[[], object], path: Path) -> list[dict[str, Any]]:
        """The counters of what `run` launches, written to `path` and read back."""
        self._runtime.emulatorResetCounters()
        run()
        assert self._runtime.emulatorWriteCounters(str(path).encode()) == 0
        launches: list[dict[str, Any]] = json.loads(path.read_text())["launches"]
        return launches

    def create_stream(self) -> int:
        """The handle of a new stream."""
        stream = ctypes.c_void_p()
        assert self._runtime.cudaStreamCreate(ctypes.byref(stream)) == 0
        return int(stream.value or 0)

    def _recording(self, make: Callable[[], arrays.ArrayKind]) -> Callable[[], arrays.ArrayKind]:
        def make_recording() -> arrays.ArrayKind:
            kind = make()

            def address(x: Any) -> int:
                self._given.append((kind, x))
                return kind.address(x)

            return dataclasses.replace(kind, address=address)

        return make_recording

    def _registering(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            spans = merged(byte_span(kind, x) for kind, x in self._given)
            for begin, end in spans:
                error = self._runtime.cudaHostRegister(begin, end - begin, 0)
                assert error == 0, f"cudaHostRegister of {end - begin} bytes: error {error}"
            try:
                function(*arguments)
                assert self._runtime.cudaDeviceSynchronize() == 0
            finally:
                for begin, _ in spans:
                    assert self._runtime.cudaHostUnregister(begin) == 0
                self._given.clear()

        return call


def byte_span(kind: arrays.ArrayKind, x: Any) -> tuple[int, int]:
    """The first byte of `x` and that after its last."""
    begin = end = kind.address(x)
    if 0 in x.shape:
        return begin, begin
    size = x.dtype.itemsize
    for extent, stride in zip(x.shape, kind.strides(x), strict=True):
        reach = (extent - 1) * stride * size
        begin, end = begin + min(reach, 0), end + max(reach, 0)
    return begin, end + size


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, those that overlap, as views of one array do, made one; not those that touch."""
    result: list[tuple[int, int]] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if result and begin < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result
