"""What a stage of every kernel's main loop does: what it ought to, and what the committed table
says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kernel_counts
import numpy as np
import pytest
from device_arrays import LIBRARIES
from emulated_memory import EmulatedDevice
from typed_cases import (
    TYPES,
    integers,
    put_dense,
    put_matrix,
    rows_on_this_device,
    sparse,
)

import sparse_gemm as sg
from benchmarks.kernel_table import document
from sparse_gemm import _C, reference
from sparse_gemm.planning.tuning import forced

# Counts owe nothing to the seed.
IS_SWEEP = int(os.environ.get("EMULATOR_SEED", "0")) > 1
pytestmark = [
    pytest.mark.usefixtures("allow_tf32"),
    pytest.mark.skipif(IS_SWEEP, reason="the same for every seed"),
]

BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int4": 4}  # others have 8
GROUP = {"1:2": 2, "2:4": 4, "4:8": 8}  # elements that half a byte of metadata tells of
MMA = {
    "f16": "sp.m16n8k32.f32.f16.f16.f32",
    "bf16": "sp.m16n8k32.f32.bf16.bf16.f32",
    "f16_acc_f16": "sp.m16n8k32.f16.f16.f16.f16",
    "tf32": "sp.m16n8k16.f32.tf32.tf32.f32",
    "s8": "sp.m16n8k64.s32.s8.s8.s32",
    "s4": "sp.m16n8k128.s32.s4.s4.s32",
    "s4_as_s8": "sp.m16n8k64.s32.s8.s8.s32",
    "e4m3": "sp.m16n8k64.f32.e4m3.e4m3.f32",
    "e4m3_e5m2": "sp.m16n8k64.f32.e4m3.e5m2.f32",
    "e5m2_e4m3": "sp.m16n8k64.f32.e5m2.e4m3.f32",
    "e5m2": "sp.m16n8k64.f32.e5m2.e5m2.f32",
}
NOT_ON_SM80 = {"s4_as_s8", "e4m3", "e4m3_e5m2", "e5m2_e4m3", "e5m2"}


def stage_bytes(row: dict[str, Any]) -> float:
    """Kept values, half a byte for each group, scales, and the columns of B, each once."""
    name, m, n, k = row["multiply"], row["tile_m"], row["tile_n"], row["stage_k"]
    types = TYPES[name]
    as_8_bit = name == "s4_as_s8"  # 2:4 of int8
    a_bits = 8 if as_8_bit else BITS.get(types.a, 8)
    group = GROUP["2:4" if as_8_bit else types.pattern]
    group_size = kernel_counts.GROUP_SIZES.get(name)
    scale_bits = 16 / group_size if group_size else 0
    return (m * k * (a_bits / 2 + 4 / group + scale_bits) + n * k * BITS.get(types.b, 8)) / 8


def rows() -> list[dict[str, Any]]:
    """Those of the device at hand that no lesser one can run; the others are counted there."""
    found = rows_on_this_device()
    if not found or _C.cuda_device(0).capability == (8, 0):
        return found
    return [row for row in found if row["multiply"] in NOT_ON_SM80]


@pytest.mark.parametrize("row", rows(), ids=document.name_of)
def test_a_stage_of_the_main_loop(
    row: dict[str, Any], emulator: EmulatedDevice, tmp_path: Path
) -> None:
    name = document.name_of(row)
    counts = kernel_counts.counts_of(row, LIBRARIES["torch"], emulator, tmp_path)
    assert counts["mma"] == MMA.get(row["multiply"], MMA.get(row["multiply"].rpartition("_")[2]))
    assert counts["bank_conflicts"] == 0
    assert counts["global_bytes"] == stage_bytes(row)
    assert counts["global_sector_bytes"] == counts["global_bytes"], "not every byte read is used"
    changed = document.changes(document.read()["rows"], {name: {"stage": counts}})
    assert not changed, "\n".join([*changed, document.REGENERATE])


DECODE_ROWS = [row for row in rows() if row["tile_n"] <= 16 and row["b_load"] == "aligned"]


@pytest.mark.parametrize("is_one_token", [True, False], ids=["one token", "a full tile"])
@pytest.mark.parametrize("row", DECODE_ROWS, ids=document.name_of)
def test_decode_reads_weights_and_metadata_exactly_once(
    row: dict[str, Any], is_one_token: bool, emulator: EmulatedDevice, tmp_path: Path
) -> None:
    """Of a whole launch, at most 1.02x canonical storage; the tokens that there are once for each
    row of tiles; D once."""
    types, tiles = TYPES[row["multiply"]], 3
    m, n, k = tiles * row["tile_m"], 1 if is_one_token else row["tile_n"], 7 * row["stage_k"]
    rng = np.random.default_rng(0)
    c = reference.compress(sparse(rng, types, m, k), pattern=types.pattern)
    library = LIBRARIES["torch"]
    a, x = put_matrix(library, c), put_dense(library, integers(rng, types, "b", n, k))
    sg.linear(x, a, accumulate=types.accumulate)  # A is packed before the first product

    def multiply() -> None:
        with forced(row["index"], num_ctas=tiles):
            sg.linear(x, a, accumulate=types.accumulate, out_dtype="float32")

    (launch,) = emulator.launches(multiply, tmp_path / "counters.json")
    canonical = c.values.nbytes + c.metadata.nbytes
    as_8_bit = row["multiply"] == "s4_as_s8"  # repacked so where the matrix is loaded
    assert a.nbytes <= 1.02 * canonical * (2 if as_8_bit else 1)
    x_bytes = n * k * BITS.get(types.b, 8) // 8
    assert launch["global"]["bytes"] == a.nbytes + tiles * x_bytes + 4 * m * n
