"""One product of each kernel that the device can run, compared with the reference.

python -m benchmarks.gpu_check.each_kernel [--every N]

The program that gpu-check puts under compute-sanitizer; the kernel cases of tests/kernels would
take too long there. Prints a line a kernel, and ends with 1 if a result is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any

from benchmarks.gpu_check import emulation
from sparse_gemm.planning.tuning import forced

_PAST_TILE = 3  # rows and columns past a whole tile: one that is cut off as well


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="run each N-th kernel alone")
    every = parser.parse_args().every
    emulation.install_if_emulated()
    import torch

    torch.set_float32_matmul_precision("high")  # else float32 is not multiplied as tf32
    cases: Any = importlib.import_module("test_cuda_types")  # of tests/kernels
    library = importlib.import_module("device_arrays").LIBRARIES["torch"]
    wrong = 0
    for row in cases.rows_on_this_device()[::every]:
        m, n = (row[side] + _PAST_TILE for side in ("tile_m", "tile_n"))
        k = row["stage_k"] * (row["num_stages"] + 1)
        print(cases.row_id(row), flush=True)
        try:
            with forced(row["index"]):
                cases.check(library, cases.TYPES[row["multiply"]], m, n, k)
        except AssertionError as error:
            print(f"wrong: {error}", flush=True)
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
