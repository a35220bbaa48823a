"""Host arrays as the emulated device's memory: each call sees exactly the arrays it was given.

The package asks an array for its address in one place, `ArrayKind.address`, and calls CUDA through
the functions `_C.cuda_*`. Both are wrapped here: addresses asked for since the last call are
registered with the stand-in runtime, to the byte, for the length of the next one. So is what a
call's own allocator hands out. Several threads may call at once; they share what they share.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sparse_gemm import _C
from sparse_gemm.arrays import ArrayKind, lookup

_CUDA_FUNCTIONS = (
    *("prune", "check", "compress", "decompress", "pack", "unpack", "gemm"),
    *("pack_scales", "unpack_scales"),
)
_MAX_FINDING_BYTES = 4096


class EmulatedDevice:
    """The stand-in runtime of this process."""

    def __init__(self) -> None:
        self._runtime = ctypes.CDLL("libcudart.so.13")
        self._runtime.cudaHostRegister.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
        self._runtime.cudaHostUnregister.argtypes = (ctypes.c_void_p,)
        self._runtime.emulatorSetSeed.argtypes = (ctypes.c_uint64,)
        self._given = _Given()
        self._spans = RegisteredSpans(self._runtime)

    def install(self) -> None:
        """Wraps the package; to be called before it has seen any array."""
        for key, make in lookup._MAKERS.items():
            lookup._MAKERS[key] = self._recording(make)
        lookup._kinds.clear()
        lookup._kind_of_type.clear()
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

    def _recording(self, make: Callable[[], ArrayKind]) -> Callable[[], ArrayKind]:
        def make_recording() -> ArrayKind:
            kind = make()

            def address(x: Any) -> int:
                self._given.arrays.append((kind, x))
                return kind.address(x)

            return dataclasses.replace(kind, address=address)

        return make_recording

    def _registering(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            given = self._given.arrays
            spans: list[tuple[int, int]] = []

            def register() -> None:
                found = merged(byte_span(kind, x) for kind, x in given[len(seen) :])
                seen.extend(given[len(seen) :])
                self._spans.add(found)
                spans.extend(found)

            def registering(allocate: Callable[..., Any]) -> Callable[..., Any]:
                def allocate_and_register(*numbers: int) -> Any:
                    allocated = allocate(*numbers)
                    register()
                    return allocated

                return allocate_and_register

            seen: list[Any] = []
            try:
                register()
                function(*(registering(x) if callable(x) else x for x in arguments))
                assert self._runtime.cudaDeviceSynchronize() == 0
            finally:
                self._spans.remove(spans)
                given.clear()

        return call


class _Given(threading.local):
    """The arrays whose addresses a thread has asked for since its last call.

    Held until the call is over: no other array can come to lie where one of them was.
    """

    def __init__(self) -> None:
        self.arrays: list[tuple[ArrayKind, Any]] = []


class RegisteredSpans:
    """What is registered with the runtime, and for how many calls at once."""

    def __init__(self, runtime: ctypes.CDLL) -> None:
        self._runtime = runtime
        self._uses: dict[tuple[int, int], int] = {}
        self._changed = threading.Condition()

    def add(self, spans: Iterable[tuple[int, int]]) -> None:
        """Registers what is not; waits while another call has a part of one of them."""
        spans = list(spans)
        with self._changed:
            while any(self._cuts(span) for span in spans):
                self._changed.wait()
            for span in spans:
                if span not in self._uses:
                    error = self._runtime.cudaHostRegister(span[0], span[1] - span[0], 0)
                    assert error == 0, f"cudaHostRegister of {span[1] - span[0]} bytes: {error}"
                self._uses[span] = self._uses.get(span, 0) + 1

    def remove(self, spans: Iterable[tuple[int, int]]) -> None:
        """Unregisters what no other call uses."""
        with self._changed:
            for span in spans:
                self._uses[span] -= 1
                if self._uses[span] == 0:
                    del self._uses[span]
                    assert self._runtime.cudaHostUnregister(span[0]) == 0
            self._changed.notify_all()

    def _cuts(self, span: tuple[int, int]) -> bool:
        return any(
            other != span and other[0] < span[1] and span[0] < other[1] for other in self._uses
        )


def byte_span(kind: ArrayKind, x: Any) -> tuple[int, int]:
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
