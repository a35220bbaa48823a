"""What the kernels do, as the emulator counts it: the right number of mma.sp, no bank conflict."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Library
from emulated_memory import EmulatedDevice
from test_cuda_linear import enough_rows

import sparse_gemm as sg

MMA_M, MMA_N, MMA_K = 16, 8, 32


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
@pytest.mark.parametrize("n", [16, 64, 256])
def test_every_row_of_the_table(
    device: Library, emulator: EmulatedDevice, n: int, dtype: str, tmp_path: Path
) -> None:
    """Whole tiles, so that the count follows from M, N and K alone."""
    numpy_dtype = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}[dtype]
    m, k = enough_rows(n), 320
    rng = np.random.default_rng(0)
    w, x = (rng.standard_normal(shape).astype(numpy_dtype) for shape in ((m, k), (n, k)))
    a = sg.compress(device.put(w), policy="prune", backend=device.backend)
    launches = emulator.launches(lambda: sg.linear(device.put(x), a), tmp_path / "counters.json")
    assert len(launches) == 1
    count = (m // MMA_M) * (n // MMA_N) * (k // MMA_K)
    assert launches[0]["mma"] == {f"sp.m16n8k32.f32.{dtype}.{dtype}.f32": count}
    assert launches[0]["shared"]["bank_conflicts"] == 0
    assert launches[0]["shared"]["wavefronts"] > 0


def test_the_table_has_a_row_for_each_of_these(device: Library) -> None:
    kernels = set()
    for n in (16, 64, 256):
        w = device.put(np.zeros((enough_rows(n), 64), np.float16))
        plan = sg.plan(sg.compress(w, backend=device.backend), n)
        kernels.add(plan.kernel)
        assert (plan.m % plan.tile_m, n % plan.tile_n) == (0, 0)
    assert len(kernels) == 3
