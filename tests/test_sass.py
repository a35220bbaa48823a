"""The kernels' machine code: the right mma.sp, no local memory, few other instructions in the main
loop; and nothing that the committed table does not say."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kernel_table import document, sass
from sparse_gemm import _C

pytestmark = pytest.mark.slow

BUILD = Path(__file__).parent.parent / "build" / "architectures"
MOST_INSTRUCTIONS_AN_MMA = 2.0  # of the large kernels of fp16 and bf16
LARGE = ("sm80_128x128", "sm80_256x128")

MMA = {
    "f16": "HMMA.SP.16832.F32",
    "bf16": "HMMA.SP.16832.F32.BF16",
    "f16_acc_f16": "HMMA.SP.16832.F16",
    "tf32": "HMMA.SP.16816.F32.TF32",
    "s8": "IMMA.SP.16864.S8.S8.SAT",
    "s4": "IMMA.SP.168128.S4.S4.SAT",
    "s4_as_s8": "IMMA.SP.16864.S8.S8.SAT",
    "e4m3": "QMMA.SP.16864.F32.E4M3.E4M3",
    "e4m3_e5m2": "QMMA.SP.16864.F32.E4M3.E5M2",
    "e5m2_e4m3": "QMMA.SP.16864.F32.E5M2.E4M3",
    "e5m2": "QMMA.SP.16864.F32.E5M2.E5M2",
}

Rows = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    if sass.find_nvdisasm() is None:
        pytest.skip(f"{sass.PACKAGE} is not installed")
    if not (BUILD / "ptxas.log").exists():
        pytest.skip("made by `make test-all` alone")
    return document.machine_code(BUILD)


def codes(rows: Rows) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(what it is, row of the table, code) of every kernel on every architecture looked at."""
    return [
        (f"{document.name_of(row)} on {architecture}", row, code)
        for row in _C.cuda_kernels()
        for architecture, code in rows[document.name_of(row)].items()
        if architecture.startswith("sm_")
    ]


def test_every_row_is_there(rows: Rows) -> None:
    for row in _C.cuda_kernels():
        is_float8 = row["multiply"] in MMA and MMA[row["multiply"]].startswith("QMMA")
        found = {key for key in rows[document.name_of(row)] if key.startswith("sm_")}
        assert found == ({"sm_89"} if is_float8 else {"sm_80", "sm_89"}), row


def test_the_main_loop_multiplies_with_the_mma_of_the_type(rows: Rows) -> None:
    for what, row, code in codes(rows):
        name = row["multiply"]
        expected = MMA.get(name) or MMA[name.rpartition("_")[2]]  # of the weight-only types B's
        assert code["mma"] == expected, what


def test_nothing_is_in_local_memory(rows: Rows) -> None:
    found = {
        what: code
        for what, _, code in codes(rows)
        if code["local_accesses"] or code["spilled_bytes"] or code["stack_bytes"]
    }
    assert not found


def test_large_kernels_issue_little_besides_mma(rows: Rows) -> None:
    ratios = {
        what: code["loop_instructions"] / code["loop_mmas"]
        for what, row, code in codes(rows)
        if row["config"] in LARGE
        and row["multiply"] in ("f16", "bf16", "f16_acc_f16")
        and row["b_load"] == "aligned"
    }
    assert len(ratios) >= 2 * len(LARGE)
    assert {what: x for what, x in ratios.items() if x > MOST_INSTRUCTIONS_AN_MMA} == {}


def test_machine_code_is_what_the_table_says(rows: Rows) -> None:
    committed = document.read()
    if document.compiler() != committed["compiler"]:
        pytest.skip(
            f"the table is of nvcc {committed['compiler']}, and this is {document.compiler()}"
        )
    assert importlib.metadata.version(sass.PACKAGE) == committed["nvdisasm"]
    changed = document.changes(committed["rows"], rows)
    assert not changed, "\n".join([*changed, document.REGENERATE])
