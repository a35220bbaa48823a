"""Device memory that a call needs besides its operands and its result, where its plan says so.

CTAs that share a tile of the result leave partial sums for one another, and count who has been
there. The partial sums go to a new array of the caller's own library at each call: its allocator
gives that memory to others in the order of the stream. The counters have to be zeros beforehand
and are zeros again afterwards, so one array of them serves all calls of a thread on a stream.

While a stream is captured into a CUDA graph nothing runs, so the graph itself has to begin by
writing zeros. The calls of one capture on a stream run one after another, and share that array.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sparse_gemm import _C
from sparse_gemm.arrays import Array, ArrayKind

# What `_C.cuda_gemm` takes last: (workspace bytes, counters) -> both addresses, and the owner of
# that memory, which is let go once the launch is in the stream.
Allocate = Callable[[int, int], tuple[int, int, object]]

_MIN_COUNTERS = 1024  # most calls need fewer

_Place = tuple[str, int, int]  # array library, CUDA device, stream


class _Captured(NamedTuple):
    """What the calls of one capture share."""

    capture: int
    num_bytes: int
    num_counters: int
    partials: Array
    counters: Array


class _Own(threading.local):
    """A thread's own: threads that share a stream cannot take each other's counters, nor those that
    use the per-thread default stream, whose handle is the same in all threads."""

    def __init__(self) -> None:
        self.counters: dict[_Place, tuple[int, Array]] = {}
        self.captured: dict[_Place, _Captured] = {}


_own = _Own()
# Of CuPy, whose allocator does not know of graphs: as long as they may run, which is for ever.
_kept: list[_Captured] = []


def allocator(kind: ArrayKind, like: Array, device: int) -> Allocate:
    """Allocates what a launch on the current stream of that CUDA device needs.

    `like` is any array of that kind and device.
    """
    return partial(_allocate, kind, like, device)


def _allocate(
    kind: ArrayKind, like: Array, device: int, num_bytes: int, num_counters: int
) -> tuple[int, int, object]:
    stream = kind.stream(device)
    place = (kind.name, device, stream)
    capture = _C.cuda_capture_id(device, stream)
    if capture:
        shared = _captured(kind, like, place, capture, num_bytes, num_counters)
        return kind.address(shared.partials), kind.address(shared.counters), shared
    partials = kind.empty(like, (num_bytes,), kind.uint8)
    counters = _counters(kind, like, place, num_counters)
    return kind.address(partials), kind.address(counters), (partials, counters)


def _counters(kind: ArrayKind, like: Array, place: _Place, count: int) -> Array:
    found = _own.counters.get(place)
    if found is None or found[0] < count:
        count = max(2 * count, _MIN_COUNTERS)
        found = _own.counters[place] = count, kind.zeros_int32(like, count)
    return found[1]


def _captured(
    kind: ArrayKind, like: Array, place: _Place, capture: int, num_bytes: int, num_counters: int
) -> _Captured:
    found = _own.captured.get(place)
    if (
        found is None
        or found.capture != capture
        or found.num_bytes < num_bytes
        or found.num_counters < num_counters
    ):
        num_counters = max(2 * num_counters, _MIN_COUNTERS)
        found = _own.captured[place] = _Captured(
            capture,
            num_bytes,
            num_counters,
            kind.empty(like, (num_bytes,), kind.uint8),
            kind.zeros_int32(like, num_counters),
        )
        if kind.name == "cupy":
            _kept.append(found)
    return found
