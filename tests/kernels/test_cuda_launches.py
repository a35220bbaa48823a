"""How kernels are launched: on which device and stream, how often, and what of earlier errors."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_arrays import Library

import sparse_gemm as sg
from sparse_gemm import _C, reference

pytestmark = pytest.mark.usefixtures("emulator")

HERE = Path(__file__).parent
W = reference.prune(np.random.default_rng(0).integers(-4, 5, (30, 70)).astype(np.float16))
X = np.ones((2, 3, 70), np.float16)

# All that launches a kernel, on arrays of device 1 while device 0 is the current one.
CALLS = """
import ctypes, sys
sys.path.insert(0, "{helpers}")
import emulated_memory, stand_in_cupy
import numpy as np
sys.modules["cupy"] = stand_in_cupy.module()
device = emulated_memory.EmulatedDevice()
device.install()
import sparse_gemm as sg

def put(host):
    return stand_in_cupy.ndarray(host, 1)

stream = device.create_stream()
current = stand_in_cupy.ExternalStream(stream, 1)
with stand_in_cupy.Device(1):
    current.__enter__()
w = sg.prune(put(np.ones((30, 70), np.float16)))
sg.check(w)
a = sg.compress(w)
a.to_dense()
b = sg.Sparse24Tensor(*a._canonical(), a.shape)
sg.linear(put(np.ones((5, 70), np.float16)), b)
current.__exit__()
sg.linear(put(np.ones((5, 70), np.float16)), b, stream=stream)
sg.matmul(b, put(np.ones((2, 70, 5), np.float16)), stream=stream)
index = ctypes.c_int(-1)
device._runtime.cudaGetDevice(ctypes.byref(index))
print(stream, index.value)
"""
NUM_LAUNCHES = 6 + 1 + 1 + 1


def test_every_launch_is_on_the_arrays_device_and_the_stream_without_pythons_lock(
    tmp_path: Path,
) -> None:
    recorder, log = tmp_path / "recorder.so", tmp_path / "log"
    compile_it = [os.environ.get("CXX", "c++"), "-std=c++17", "-shared", "-fPIC", "-o"]
    subprocess.run([*compile_it, recorder, HERE / "launch_recorder.cpp", "-ldl"], check=True)
    emulated = [HERE.parents[1] / "emulator" / "run", "--devices", "2", "--sms", "2", "env"]
    done = subprocess.run(
        [*emulated, f"LD_PRELOAD={recorder}", sys.executable, "-c", CALLS.format(helpers=HERE)],
        env={**os.environ, "LAUNCH_LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stream, device_afterwards = done.stdout.split()
    assert device_afterwards == "0"
    assert stream != "0"
    assert log.read_text().splitlines() == [f"1 {stream} 0"] * NUM_LAUNCHES


def test_a_call_is_one_launch(library: Library, emulator: Any, tmp_path: Path) -> None:
    """Packed storage is not unpacked on the way to the kernel."""
    put = library.put
    a, x = sg.compress(put(W), backend="cuda"), put(X)
    out, scale = put(np.zeros((2, 3, 30), np.float16)), put(np.full(30, 2, np.float32))

    def calls() -> None:
        sg.linear(x, a)
        sg.linear(x, a, w_scale=scale, out=out)
        sg.matmul(a, put(X[0].T))

    assert len(emulator.launches(calls, tmp_path / "counters.json")) == 3


def test_errors_of_others_are_not_ours(device: Library) -> None:
    runtime = ctypes.CDLL("libcudart.so.13")
    a = sg.compress(device.put(W), backend=device.backend)
    runtime.cudaGetLastError()
    assert runtime.cudaSetDevice(99) != 0
    y = sg.linear(device.put(X), a)
    np.testing.assert_array_equal(device.get(y), reference.linear(X, reference.compress(W)))
    np.testing.assert_array_equal(device.get(a.to_dense()), W)
    assert runtime.cudaGetLastError() != 0  # is still there for whom it concerns


def test_errors_of_ours_are_not_left_to_others() -> None:
    runtime = ctypes.CDLL("libcudart.so.13")
    runtime.cudaGetLastError()
    view = (W.ctypes.data, _C.DType.float16, *W.shape, 70, 1, _C.Pattern.k2of4)
    with pytest.raises(RuntimeError, match="choosing the device: invalid device ordinal"):
        _C.cuda_prune(*view, W.ctypes.data, 99, 0)
    assert runtime.cudaPeekAtLastError() == 0


@pytest.mark.parametrize("name", ["the dense operand", "out", "bias"])
def test_elements_that_are_not_aligned_are_refused(name: str) -> None:
    """A GPU would stop, with an error that names nothing."""

    def odd(x: Any) -> Any:
        return np.frombuffer(b"-" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)

    a = sg.compress(W, backend="cuda")
    x, bias = X[0], np.zeros(30, np.float16)
    out = np.frombuffer(
        bytearray(2 * 90 + 1), np.float16, offset=1 if name == "out" else 0, count=90
    )
    with pytest.raises(ValueError, match=f"{name} is at address .*a multiple of 2"):
        sg.linear(
            odd(x) if name == "the dense operand" else x,
            a,
            odd(bias) if name == "bias" else bias,
            out=out.reshape(3, 30),
        )
