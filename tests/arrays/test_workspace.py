"""Who gets which memory for partial sums and counters. Needs no device."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparse_gemm import _C
from sparse_gemm.arrays import ArrayKind, kind_of, workspace

X = np.zeros(1, np.float16)


class Stream:
    """The current stream of a made-up device, and the capture that it is in."""

    def __init__(self) -> None:
        self.handle = 0
        self.capture = 0
        self.kind: ArrayKind = replace(kind_of(X, "x"), stream=lambda _: self.handle)

    def allocate(self, num_bytes: int = 64, num_counters: int = 3, device: int = 0) -> Any:
        return workspace.allocator(self.kind, X, device)(num_bytes, num_counters)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    stream = Stream()
    monkeypatch.setattr(_C, "cuda_capture_id", lambda *_: stream.capture)
    monkeypatch.setattr(workspace, "_own", workspace._Own())
    return stream


def memory(allocated: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    owner = allocated[2]
    partials, counters = owner[-2:]
    assert (partials.ctypes.data, counters.ctypes.data) == allocated[:2]
    return partials, counters


def test_room_and_zeros(stream: Stream) -> None:
    for num_bytes, num_counters in ((16, 1), (1 << 20, 5000), (64, 20000), (64, 2)):
        partials, counters = memory(stream.allocate(num_bytes, num_counters))
        assert partials.nbytes >= num_bytes
        assert counters.dtype == np.int32
        assert counters.size >= num_counters
        assert not counters.any()


def test_partial_sums_are_new_each_time_and_counters_stay(stream: Stream) -> None:
    first, second = stream.allocate(), stream.allocate()
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_streams_devices_and_threads_have_their_own_counters(stream: Stream) -> None:
    held = [stream.allocate(), stream.allocate(device=1)]
    stream.handle = 7
    held.append(stream.allocate())
    thread = threading.Thread(target=lambda: held.append(stream.allocate()))
    thread.start()
    thread.join()
    assert len({allocated[1] for allocated in held}) == len(held) == 4
    assert stream.allocate()[1] == held[2][1]


def test_a_capture_has_its_own_memory(stream: Stream) -> None:
    eager = stream.allocate()
    stream.capture = 5
    first, second = stream.allocate(), stream.allocate(num_bytes=32)
    assert first[:2] == second[:2]
    assert first[1] != eager[1]
    larger = stream.allocate(num_bytes=4096)
    assert memory(larger)[0].nbytes >= 4096
    assert larger[0] != first[0]
    stream.handle = 7
    assert stream.allocate()[1] != larger[1]
    stream.handle, stream.capture = 0, 6
    assert stream.allocate()[1] not in (larger[1], first[1], eager[1])
    stream.capture = 0
    assert stream.allocate()[1] == eager[1]


def test_what_cupy_captures_is_kept(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its allocator would give that memory to others while the graph still uses it."""
    monkeypatch.setattr(workspace, "_kept", [])
    stream.kind, stream.capture = replace(stream.kind, name="cupy"), 5
    held = [stream.allocate()[2]]
    stream.capture = 6
    held.append(stream.allocate()[2])
    assert workspace._kept == held
