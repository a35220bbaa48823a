"""Calls in CUDA graphs: nothing that a capture forbids, and right results at every replay."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from device_arrays import Library
from typed_cases import (
    TYPES,
    integers,
    names_on_this_device,
    put_dense,
    put_matrix,
    rows_on_this_device,
    sparse,
    widened,
)

import sparse_gemm as sg
from sparse_gemm import _C, reference
from sparse_gemm.planning.tuning import forced

# What nvcc's registration and launches import, and what the extension asks for itself. None of it
# waits, allocates, copies or fills memory, or makes streams or events.
ALLOWED = {
    *("__cudaGetKernel", "__cudaLaunchKernel", "__cudaPopCallConfiguration"),
    *("__cudaRegisterFatBinary", "__cudaRegisterFatBinaryEnd", "__cudaRegisterFunction"),
    *("__cudaRegisterVar", "__cudaUnregisterFatBinary", "__cudaPushCallConfiguration"),
    *("cudaDeviceGetAttribute", "cudaGetDevice", "cudaGetDeviceCount", "cudaGetDeviceProperties"),
    *("cudaDriverGetVersion", "cudaRuntimeGetVersion", "cudaSetDevice", "cudaFuncSetAttribute"),
    *("cudaGetErrorName", "cudaGetErrorString", "cudaGetLastError", "cudaPeekAtLastError"),
    *("cudaLaunchKernelExC", "cudaStreamGetCaptureInfo"),
}


def test_the_extension_has_no_function_that_a_capture_forbids(emulator: object) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm, of binutils, is not here")
    command = ["nm", "-D", "--undefined-only", _C.__file__]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].partition("@")[0] for line in listing.splitlines()}
    used = {name for name in names if name.lstrip("_").startswith("cu")}
    assert "cudaLaunchKernelExC" in used
    assert used <= ALLOWED


@pytest.mark.usefixtures("allow_tf32")
@pytest.mark.parametrize("num_ctas", [0, 3])
@pytest.mark.parametrize("name", names_on_this_device())
def test_graphs_replay_with_other_inputs(device: Library, name: str, num_ctas: int) -> None:
    """As planned, and with shared tiles, whose workspace the graph then owns."""
    if device.backend == "cuda" or device.name != "torch":
        pytest.skip("needs a GPU, and torch")
    import torch

    types, (m, n, k) = TYPES[name], (70, 5, 777)
    rng = np.random.default_rng(0)
    c = reference.compress(sparse(rng, types, m, k), pattern=types.pattern)
    a = put_matrix(device, c)
    inputs = [integers(rng, types, "b", n, k) for _ in range(3)]
    x, graph = put_dense(device, inputs[0]), torch.cuda.CUDAGraph()

    def run() -> tuple[Any, Any]:
        how = {"out_dtype": "float32", "accumulate": types.accumulate}
        return sg.linear(x, a, **how), sg.matmul(a, x.T, **how)

    row = next(
        row for row in rows_on_this_device() if (row["multiply"], row["b_load"]) == (name, "any")
    )
    with forced(row["index"], num_ctas, 0 if num_ctas else -1), torch.cuda.graph(graph):
        y, d = run()
    for item in inputs:
        x.copy_(put_dense(device, item))
        graph.replay()
        expected = reference.linear(widened(item), c, out_dtype=np.float32)
        np.testing.assert_array_equal(device.get(y), expected)
        np.testing.assert_array_equal(device.get(d), expected.T)


def fits(row: dict[str, Any]) -> bool:
    """Whether it takes any input, and the device has the memory for it."""
    most = _C.cuda_device(0).shared_memory_per_block
    return bool(row["b_load"] == "any" and row["shared_bytes"] <= most)
