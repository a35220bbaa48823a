"""What one stage of a kernel's main loop does, as the emulator counts it.

    emulator/run --device a100 python tests/kernels/kernel_counts.py [INDEX...]

prints a JSON object: the counts of each row of `_C.cuda_kernels()` that the device can run, by the
row's index, for benchmarks/kernel_table. A tile is multiplied twice, the second time over as much
more of K as a ring has stages: the difference is the main loop's alone. Arrays are torch's, which
begin at multiples of 64 bytes, as a device's do.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))

from device_arrays import LIBRARIES, Library
from emulated_memory import EmulatedDevice
from typed_cases import (
    DTYPES,
    TYPES,
    integers,
    put_dense,
    put_matrix,
    rows_on_this_device,
    sparse,
)

import sparse_gemm as sg
from sparse_gemm import reference
from sparse_gemm.planning.tuning import forced

GROUP_SIZES = {"s4_f16": 128, "s4_bf16": 128}  # as these weights are used; others have no groups
SECTOR_BYTES = 32


def counts_of(
    row: dict[str, Any], device: Library, emulator: EmulatedDevice, folder: Path
) -> dict[str, Any]:
    """Of one stage, over all warps of a CTA, but for what says otherwise."""
    stages = row["num_stages"]
    first = _launch(row, 2 * stages, device, emulator, folder)
    second = _launch(row, 3 * stages, device, emulator, folder)
    (mma,) = second["mma"]

    def a_stage(*names: str) -> float:
        before, after = first, second
        for name in names:
            before, after = before[name], after[name]
        return _number((after - before) / stages)

    return {
        "mma": mma,
        "mmas": a_stage("mma", mma),
        "wavefronts": a_stage("shared", "wavefronts"),
        "bank_conflicts": a_stage("shared", "bank_conflicts"),
        "global_bytes": a_stage("global", "bytes"),
        "global_sector_bytes": _number(SECTOR_BYTES * a_stage("global", "sectors")),
        "bank_conflicts_outside": first["shared"]["bank_conflicts"]
        - _number(2 * stages * a_stage("shared", "bank_conflicts")),
    }


def _launch(
    row: dict[str, Any], stages: int, device: Library, emulator: EmulatedDevice, folder: Path
) -> dict[str, Any]:
    """The counters of one CTA that multiplies one tile."""
    types, name = TYPES[row["multiply"]], row["multiply"]
    m, n, k = row["tile_m"], row["tile_n"], stages * row["stage_k"]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    c = reference.compress(sparse(rng, types, m, k), pattern=types.pattern)
    group_size = GROUP_SIZES.get(name)
    scale = None
    if group_size is not None:
        scale = np.ones((m, k // group_size), DTYPES[types.b])
    a = put_matrix(device, c, scale, group_size)
    x = put_dense(device, integers(rng, types, "b", n, k))

    def multiply() -> None:
        with forced(row["index"], num_ctas=1):
            sg.linear(x, a, accumulate=types.accumulate)

    (launch,) = emulator.launches(multiply, folder / "counters.json")
    return launch


def _number(x: float) -> float:
    return int(x) if x == int(x) else x


def main() -> None:
    """The rows named, or all that the device can run."""
    import torch

    torch.set_float32_matmul_precision("high")  # else float32 is not multiplied as tf32
    emulator = EmulatedDevice()
    emulator.install()
    wanted = {int(argument) for argument in sys.argv[1:]}
    with tempfile.TemporaryDirectory() as folder:
        found = {
            row["index"]: counts_of(row, LIBRARIES["torch"], emulator, Path(folder))
            for row in rows_on_this_device()
            if row["index"] in wanted or not wanted
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
