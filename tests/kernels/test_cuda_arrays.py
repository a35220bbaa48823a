"""CuPy arrays and foreign device arrays, by stand-ins over the emulated device's memory.

`make gpu-check` has the same with CuPy itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stand_in_cupy
from device_arrays import Array

import sparse_gemm as sg
from sparse_gemm import reference
from sparse_gemm.arrays import lookup

RNG = np.random.default_rng(0)
W = reference.prune(RNG.integers(-4, 5, (30, 70)).astype(np.float16))
X = RNG.integers(-4, 5, (9, 70)).astype(np.float16)
BIAS = RNG.integers(-4, 5, 30).astype(np.float16)
EXPECTED = reference.linear(X, reference.compress(W), BIAS)


@pytest.fixture(autouse=True)
def cupy(emulator: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in as the module cupy, unknown to the package before and after."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy.module())
    yield sys.modules["cupy"]
    lookup._kinds.pop(("cupy", "ndarray"), None)
    lookup._kind_of_type.pop(stand_in_cupy.ndarray, None)


class ByInterface:
    """A device array of some other library, known by `__cuda_array_interface__` alone."""

    def __init__(self, host: Array) -> None:
        self.host, self.dtype = host, host.dtype

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.host.__array_interface__, "version": 3, "stream": None}


class ByDLPack:
    """A device array known by DLPack alone."""

    def __init__(self, host: Array, device_type: int = 2) -> None:
        self.host, self.device_type = host, device_type

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device_type, 0)


def device_array(host: Array) -> Any:
    return stand_in_cupy.ndarray(host.copy())


def test_cupy_arrays_give_cupy_arrays() -> None:
    a = sg.compress(device_array(W))
    assert (a.device, a._cuda) == ("cuda:0", 0)
    assert type(a.values) is type(a.metadata) is stand_in_cupy.ndarray
    assert a.values.host.tobytes() == reference.compress(W).values.tobytes()
    y = sg.linear(device_array(X), a, device_array(BIAS))
    assert type(y) is stand_in_cupy.ndarray
    np.testing.assert_array_equal(y.host, EXPECTED)
    d = sg.matmul(a, device_array(X.T), bias=device_array(BIAS))
    np.testing.assert_array_equal(d.host, EXPECTED.T)
    np.testing.assert_array_equal(a.to_dense().host, W)
    assert sg.prune(device_array(W)).host.tobytes() == W.tobytes()
    with pytest.raises(sg.SparsityError, match="row 0, group 0"):
        sg.check(device_array(np.ones((2, 4), np.float16)))
    assert "cuda" in str(sg.plan(a, 4))


def test_work_goes_to_the_current_stream_of_the_arrays_device(emulator: Any) -> None:
    a = sg.compress(device_array(W))
    asked_for = stand_in_cupy.streams_asked_for
    asked_for.clear()
    sg.linear(device_array(X), a)
    assert asked_for == [(0, 0)]
    handle = emulator.create_stream()
    assert handle != 0
    for stream in (handle, SimpleNamespace(ptr=handle), SimpleNamespace(cuda_stream=handle)):
        asked_for.clear()
        y = sg.linear(device_array(X), a, device_array(BIAS), stream=stream)
        np.testing.assert_array_equal(y.host, EXPECTED)
        sg.matmul(a, device_array(X.T), stream=stream)
        assert asked_for == [(0, handle), (0, handle)]
    asked_for.clear()
    with stand_in_cupy.ExternalStream(handle):
        sg.linear(device_array(X), a)
        sg.linear(device_array(X), a, stream=0)
    assert asked_for == [(0, handle), (0, 0)]


@pytest.mark.parametrize("foreign", [ByInterface, ByDLPack])
def test_foreign_device_arrays_are_taken_as_cupy_arrays(foreign: Any) -> None:
    a = sg.compress(foreign(W))
    y = sg.linear(foreign(X), a, foreign(BIAS))
    assert type(a.values) is type(y) is stand_in_cupy.ndarray
    np.testing.assert_array_equal(y.host, EXPECTED)
    out = np.zeros((9, 30), np.float16)
    sg.linear(foreign(X), a, foreign(BIAS), out=foreign(out))
    np.testing.assert_array_equal(out, EXPECTED)
    stored = reference.compress(W)
    again = sg.Sparse24Tensor(foreign(stored.values), foreign(stored.metadata), W.shape)
    np.testing.assert_array_equal(again.to_dense().host, W)
    sg.check(foreign(W))


def test_foreign_host_arrays_are_not_guessed_at() -> None:
    with pytest.raises(TypeError, match="x is a .*ByDLPack; expected a NumPy array"):
        sg.linear(ByDLPack(X, device_type=1), sg.compress(device_array(W)))


def test_foreign_arrays_need_a_library_that_can_hold_what_comes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "cupy")
    with pytest.raises(TypeError, match="loaded beside CuPy or torch"):
        sg.compress(ByInterface(W))


def test_arrays_on_several_devices_are_refused_by_name() -> None:
    a = sg.compress(device_array(W))
    elsewhere = stand_in_cupy.ndarray(X.copy(), device=1)
    with pytest.raises(ValueError, match="x is on cuda:1 and a on cuda:0"):
        sg.linear(elsewhere, a)
    with pytest.raises(ValueError, match="bias is on cuda:1 and a on cuda:0"):
        sg.linear(device_array(X), a, stand_in_cupy.ndarray(BIAS.copy(), device=1))
    out = stand_in_cupy.ndarray(np.zeros((9, 30), np.float16), device=1)
    with pytest.raises(ValueError, match="out is on cuda:1 and a on cuda:0"):
        sg.linear(device_array(X), a, out=out)
    with pytest.raises(TypeError, match="bias is a numpy array; expected cupy"):
        sg.linear(device_array(X), a, BIAS)
    with pytest.raises(TypeError, match="x is a numpy array; expected cupy"):
        sg.linear(X, a)


def test_a_device_that_the_runtime_does_not_have_is_refused() -> None:
    with pytest.raises(sg.UnsupportedError, match="w is on cuda:7, but the cuda backend"):
        sg.compress(stand_in_cupy.ndarray(W.copy(), device=7))
