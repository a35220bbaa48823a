"""Where calls run, decided without a device: backends, streams, stored forms, plans."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sparse_gemm as sg
from sparse_gemm import _C, arrays
from sparse_gemm.arrays import devices

NO_DEVICE = _C.cuda_device_count() == 0
needs_no_device = pytest.mark.skipif(not NO_DEVICE, reason="there is a CUDA device here")
NUMPY = arrays.kind_of(np.ones(1), "x")
X = np.ones((2, 8), np.float32)
A = sg.compress(sg.prune(np.ones((4, 8), np.float32)))


def on_cuda(index: int) -> arrays.ArrayKind:
    """NumPy arrays that say that they are on a CUDA device."""
    return dataclasses.replace(NUMPY, device=lambda _: f"cuda:{index}", cuda_index=lambda _: index)


def test_auto_and_cpu_take_host_arrays_to_the_cpu() -> None:
    for backend in ("auto", "cpu"):
        assert devices.device_for(NUMPY, X, "x", backend) == devices.CPU


@pytest.mark.parametrize("backend", ["gpu", "", None, 0])
@pytest.mark.parametrize(
    "call",
    [
        lambda backend: sg.linear(X, A, backend=backend),
        lambda backend: sg.compress(X, policy="prune", backend=backend),
        lambda backend: sg.prune(X, backend=backend),
        lambda backend: sg.check(np.zeros_like(X), backend=backend),
        lambda backend: sg.Sparse24Tensor(A.values, A.metadata, A.shape, backend=backend),
    ],
    ids=["linear", "compress", "prune", "check", "Sparse24Tensor"],
)
def test_a_backend_that_is_not_there_is_refused(call: Any, backend: Any) -> None:
    with pytest.raises(ValueError, match=r"backend is .*; expected 'auto', 'cpu' or 'cuda'"):
        call(backend)


@needs_no_device
def test_cuda_on_a_host_array_says_what_to_do_and_why_not_here() -> None:
    half = X.astype(np.float16)
    for call in (sg.prune, sg.check, sg.compress):
        with pytest.raises(sg.UnsupportedError) as error:
            call(half, backend="cuda")
        assert "w is on the cpu: move it to a CUDA device" in str(error.value)
        assert _C.cuda_unavailable_reason() in str(error.value)


@needs_no_device
def test_a_device_array_without_a_device_is_refused_with_the_reason() -> None:
    with pytest.raises(sg.UnsupportedError) as error:
        devices.device_for(on_cuda(0), X, "w")
    assert str(error.value).startswith("w is on cuda:0, but the cuda backend cannot use it")
    assert _C.cuda_unavailable_reason() in str(error.value)


def test_the_cpu_backend_refuses_device_arrays() -> None:
    with pytest.raises(ValueError, match="backend is 'cpu', but w is on cuda:3"):
        devices.device_for(on_cuda(3), X, "w", "cpu")


def test_other_devices_are_refused() -> None:
    kind = dataclasses.replace(NUMPY, device=lambda _: "xpu:0")
    with pytest.raises(sg.UnsupportedError, match="w is on xpu:0, where no backend reads"):
        devices.device_for(kind, X, "w")


def test_streams_are_handles_or_have_one() -> None:
    assert devices.stream_handle(7) == 7
    assert devices.stream_handle(SimpleNamespace(cuda_stream=8)) == 8
    assert devices.stream_handle(SimpleNamespace(ptr=9)) == 9
    for wrong in (None, "7", 7.0, True, SimpleNamespace(ptr="9"), [7]):
        with pytest.raises(TypeError, match=r"stream is a \w+; expected None"):
            devices.stream_handle(wrong)
    with pytest.raises(ValueError, match="stream is -7"):
        devices.stream_handle(-7)


PACKED = {
    ("2:4", "float16"),
    ("2:4", "bfloat16"),
    ("2:4", "int8"),
    ("2:4", "float8_e4m3fn"),
    ("2:4", "float8_e5m2"),
    ("2:4", "int4"),
    ("1:2", "float32"),
    ("4:8", "int4"),
}


def pattern_code(pattern: str) -> _C.Pattern:
    return _C.Pattern.__members__["k" + pattern.replace(":", "of")]


@pytest.mark.parametrize(("pattern", "name"), sorted(PACKED))
def test_sizes_of_packed_storage_agree_with_the_extension(
    pattern: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer_format = pytest.importorskip("sparse_gemm.torch_glue.layer_format", reason="needs torch")
    dtype = _C.DType.__members__[name]
    itemsize = 1 if name == "int4" else arrays.NUMPY_DTYPES[dtype].itemsize
    for as_8_bit in (False, True) if pattern == "4:8" else (False,):
        monkeypatch.setattr(layer_format, "stores_as_8_bit", lambda *_, answer=as_8_bit: answer)
        for m, k in itertools.product((0, 1, 15, 16, 17, 100), (0, 1, 8, 63, 64, 65, 1000)):
            (values,), (metadata,) = layer_format.packed_shapes(m, k, pattern, dtype, 0)
            matrix = (pattern_code(pattern), dtype, m, k, as_8_bit)
            assert itemsize * values == _C.packed_values_bytes(*matrix)
            assert metadata == _C.packed_metadata_bytes(*matrix)


def test_which_types_have_packed_storage() -> None:
    supported = {
        (pattern.name[1:].replace("of", ":"), dtype.name)
        for pattern in _C.Pattern.__members__.values()
        for dtype in _C.DType.__members__.values()
        if _C.packed_supports(pattern, dtype)
    }
    assert supported == PACKED
