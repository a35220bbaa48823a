"""What a device is not asked to do, and in which words; and streams."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from device_arrays import Library

import sparse_gemm as sg
from sparse_gemm import reference

W = reference.prune(np.random.default_rng(0).integers(-4, 5, (6, 12)).astype(np.float16))
X = np.ones((3, 12), np.float16)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_types_without_a_kernel(library: Library, dtype: str) -> None:
    w = library.put(W.astype(dtype))
    for call in (sg.compress, sg.prune, sg.check):
        with pytest.raises(sg.UnsupportedError, match=f"w is 2:4 of {dtype}, for which"):
            call(w, backend=library.backend)


def test_one_to_two_has_no_kernel(library: Library) -> None:
    w = np.zeros((4, 8), np.float32)
    with pytest.raises(sg.UnsupportedError, match="w is 1:2 of float32, for which"):
        sg.compress(library.put(w), pattern="1:2", backend=library.backend)


def test_the_cpu_backend_is_not_given_what_is_stored_for_the_device(library: Library) -> None:
    a = sg.compress(library.put(W), backend=library.backend)
    with pytest.raises(ValueError, match="backend is 'cpu', but a is stored for the cuda backend"):
        sg.linear(library.put(X), a, backend="cpu")
    with pytest.raises(ValueError, match="backend is 'gpu'"):
        sg.linear(library.put(X), a, backend="gpu")
    with pytest.raises(TypeError, match="expected a .* dtype among"):
        sg.linear(library.put(X), a, out_dtype="float64")


def test_a_matrix_stored_for_the_cpu_is_not_multiplied_on_the_device() -> None:
    with pytest.raises(sg.UnsupportedError, match="backend is 'cuda', but"):
        sg.linear(X, sg.compress(W), backend="cuda")


@pytest.mark.parametrize("stream", ["0", 1.0, True, object(), [0]])
def test_what_is_no_stream(device: Library, stream: Any) -> None:
    a = sg.compress(device.put(W), backend=device.backend)
    with pytest.raises(TypeError, match="stream is a .*; expected None"):
        sg.linear(device.put(X), a, stream=stream)
    with pytest.raises(ValueError, match="stream is -1"):
        sg.linear(device.put(X), a, stream=-1)


def test_streams_of_any_spelling(device: Library) -> None:
    x, a = device.put(X), sg.compress(device.put(W), backend=device.backend)
    expected = reference.linear(X, reference.compress(W))
    streams = [None, 0, SimpleNamespace(cuda_stream=0), SimpleNamespace(ptr=0)]
    wait: Callable[[], object] = lambda: None  # noqa: E731
    if device.backend == "auto":  # a GPU: streams that there are
        cuda = importlib.import_module(device.name).cuda
        streams += [cuda.Stream() for _ in range(2)]
        wait = cuda.synchronize if device.name == "torch" else cuda.runtime.deviceSynchronize
    for stream in streams:
        wait()  # what is queued on one stream is not in order with another
        y = sg.linear(x, a, stream=stream)
        wait()
        np.testing.assert_array_equal(device.get(y), expected)


def test_output_types_that_no_kernel_writes(device: Library) -> None:
    a = sg.compress(device.put(W), backend=device.backend)
    with pytest.raises(sg.UnsupportedError, match="int8"):
        sg.linear(device.put(X), a, out_dtype="int8")


def test_the_plan_is_of_the_device(device: Library) -> None:
    a = sg.compress(device.put(W), backend=device.backend)
    plan = sg.plan(a, 16)
    assert (plan.backend, plan.m, plan.n, plan.k) == ("cuda", 6, 16, 12)
    assert plan.why in str(plan)
    assert "shared memory" in str(plan)
    assert plan.num_ctas == -(-6 // plan.tile_m) * -(-16 // plan.tile_n)


def test_the_matrix_says_where_it_is(device: Library) -> None:
    a = sg.compress(device.put(W), backend=device.backend)
    assert repr(a).startswith("Sparse24Tensor(6x12, 2:4 float16, 0.0 MB, ")
    assert a.nbytes == 16 * 64 + 16 * 8  # one tile of packed storage
