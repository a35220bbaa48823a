"""What a device is not asked to do, and in which words; and streams."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from device_arrays import LIBRARIES, Library
from typed_cases import DTYPES, has_float8, put_matrix

import sparse_gemm as sg
from sparse_gemm import _C, reference

W = reference.prune(np.random.default_rng(0).integers(-4, 5, (6, 12)).astype(np.float16))
X = np.ones((3, 12), np.float16)


def test_float32_in_2_to_4_has_no_kernel(library: Library) -> None:
    with pytest.raises(sg.UnsupportedError, match="2:4 of float32") as caught:
        sg.compress(library.put(W.astype(np.float32)), backend=library.backend)
    for way_out in (".half()", ".bfloat16()", "1:2"):
        assert way_out in str(caught.value)


@pytest.mark.parametrize("b", ["float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("a", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_needs_a_device_that_has_it(library: Library, a: str, b: str) -> None:
    if has_float8(_C.cuda_device(0)):
        pytest.skip("this one has it")
    matrix = put_matrix(library, reference.compress(W.astype(DTYPES[a])))
    with pytest.raises(sg.UnsupportedError, match=r"8\.9") as caught:
        sg.linear(library.put(X.astype(DTYPES[b])), matrix)
    assert "float16" in str(caught.value)


def test_tf32_has_to_be_allowed() -> None:
    torch = pytest.importorskip("torch")
    library = LIBRARIES["torch"]
    c = reference.compress(reference.prune(W.astype(np.float32), "1:2"), pattern="1:2")
    x, a = library.put(X.astype(np.float32)), put_matrix(library, c)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        with pytest.raises(sg.UnsupportedError, match="allow_tf32 = True"):
            sg.linear(x, a)
        torch.set_float32_matmul_precision("high")
        y = sg.linear(x, a)
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(library.get(y), reference.linear(X.astype(np.float32), c))


def test_types_that_do_not_go_together(library: Library) -> None:
    int8 = put_matrix(library, reference.compress(W.astype(np.int8)))
    with pytest.raises(TypeError, match="expected int8 or float16 or bfloat16 or float32, as a is"):
        sg.linear(library.put(X.astype(DTYPES["float8_e4m3fn"])), int8)
    with pytest.raises(sg.UnsupportedError, match="can be int8, float16 or bfloat16"):
        sg.linear(library.put(X.astype(np.float32)), int8)  # the CPU backend alone has that
    int4 = put_matrix(library, reference.compress(W.astype(DTYPES["int4"])))
    packed = library.put(np.zeros((3, 6), np.uint8))
    for x in (packed, library.put(X.astype(np.int8))):
        with pytest.raises(TypeError, match="for int4 x int4 compress a with pattern='4:8'"):
            sg.linear(x, int4)
    half = put_matrix(library, reference.compress(W))
    with pytest.raises(TypeError, match="expected float16, as a is float16"):
        sg.linear(library.put(X.astype(DTYPES["bfloat16"])), half)


def test_scales_of_groups_that_do_not_fit(library: Library) -> None:
    c = reference.compress(W.astype(np.int8))
    scale = np.ones((6, 1), np.float16)

    def make(scale: Any, group_size: Any, c: Any = c) -> sg.Sparse24Tensor:
        return put_matrix(library, c, scale, group_size)

    make(scale, 32)
    for group_size in (0, 16, 48, 256, -32):
        with pytest.raises((ValueError, NotImplementedError), match="group_size is"):
            make(scale, group_size)
    for shape in ((6,), (6, 2), (5, 1), (1, 1)):
        with pytest.raises(ValueError, match="scale has shape"):
            make(np.ones(shape, np.float16), 32)
    with pytest.raises(TypeError, match="scale has dtype"):
        make(scale.astype(np.float32), 32)
    with pytest.raises(TypeError, match="scale has dtype"):
        make(np.ones(6, np.float16), None)
    with pytest.raises(TypeError, match="bfloat16 or float32, as a is int8 with a scale"):
        sg.linear(library.put(X.astype(np.int8)), make(scale, 32))


def test_sums_in_float16_are_of_float16(library: Library) -> None:
    a, x = put_matrix(library, reference.compress(W)), library.put(X)
    with pytest.raises(ValueError, match="accumulate is 'double'; expected None"):
        sg.linear(x, a, accumulate="double")
    bfloat16 = DTYPES["bfloat16"]
    a = put_matrix(library, reference.compress(W.astype(bfloat16)))
    with pytest.raises(ValueError, match="accumulate is 'float16', but a is bfloat16"):
        sg.linear(library.put(X.astype(bfloat16)), a, accumulate="float16")


def test_sums_that_could_wrap(device: Library) -> None:
    k = 2 * (2**31 // 128**2) + 8
    a = put_matrix(device, reference.compress(np.zeros((1, k), np.int8)))
    with pytest.raises(sg.UnsupportedError, match="could wrap"):
        sg.linear(device.put(np.zeros((1, k), np.int8)), a)


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
    for out_dtype in ("int8", "int32", "float8_e4m3fn"):
        with pytest.raises(sg.UnsupportedError, match=out_dtype):
            sg.linear(device.put(X), a, out_dtype=out_dtype)


def test_four_bits_have_to_follow_one_another_along_k(device: Library) -> None:
    c = reference.compress(np.zeros((4, 16), DTYPES["int4"]), pattern="4:8")
    a = put_matrix(device, c)
    with pytest.raises(
        ValueError, match="x has strides .*; expected bytes that follow one another"
    ):
        sg.linear(device.put(np.zeros((8, 3), np.uint8)).T, a)
    with pytest.raises(ValueError, match=r"x has shape \(3, 16\); expected \[..., 8\]"):
        sg.linear(device.put(np.zeros((3, 16), np.uint8)), a)
    with pytest.raises(ValueError, match="b has strides"):
        sg.matmul(a, device.put(np.zeros((8, 3), np.uint8)))


def test_the_plan_is_of_the_device(device: Library) -> None:
    a = sg.compress(device.put(W), backend=device.backend)
    plan = sg.plan(a, 16)
    assert (plan.backend, plan.m, plan.n, plan.k) == ("cuda", 6, 16, 12)
    assert plan.why in str(plan)
    assert "shared memory" in str(plan)


def test_the_matrix_says_where_it_is(device: Library) -> None:
    a = sg.compress(device.put(W), backend=device.backend)
    assert repr(a).startswith("Sparse24Tensor(6x12, 2:4 float16, 0.0 MB, ")
    assert a.nbytes == 16 * 64 + 16 * 8  # one tile of packed storage
