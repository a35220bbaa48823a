"""What ptxas makes of the kernels for every architecture of a release: the same kernels, no spills.

Registers are compared with the committed table in test_sass.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.kernel_table import ptxas_log
from benchmarks.kernel_table.ptxas_log import Usage
from sparse_gemm import _C

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LOG = ROOT / "build" / "architectures" / "ptxas.log"
CAPABILITIES = {
    "sm_80": (8, 0),
    "sm_86": (8, 6),
    "sm_89": (8, 9),
    "sm_90a": (9, 0),
    "sm_100": (10, 0),
    "sm_120": (12, 0),
}
ARCHITECTURES = set(CAPABILITIES)
MOST_REGISTERS_OF_NOTHING = 8
FLOAT8 = {"e4m3", "e4m3_e5m2", "e5m2_e4m3", "e5m2"}
NATIVE = {name: {(8, 9), (12, 0)} for name in FLOAT8} | {"s4": {(8, 0), (8, 6), (8, 9)}}


@pytest.fixture(scope="module")
def kernels() -> dict[tuple[str, str], Usage]:
    if not LOG.exists():
        pytest.skip("made by `make test-all` alone")
    return ptxas_log.parse(LOG.read_text())


def test_every_architecture_has_every_row_whose_type_it_has(
    kernels: dict[tuple[str, str], Usage],
) -> None:
    assert {architecture for architecture, _ in kernels} == ARCHITECTURES
    for architecture, capability in CAPABILITIES.items():
        names = " ".join(name for of, name in kernels if of == architecture)
        found = sorted(int(index) for index in re.findall(r"gemm_kernelILi(\d+)E", names))
        left_out = FLOAT8 if capability < (8, 9) else set[str]()
        rows = _C.cuda_kernels()
        assert found == [row["index"] for row in rows if row["multiply"] not in left_out]


def test_rows_have_code_where_the_planner_takes_them_and_nowhere_else(
    kernels: dict[tuple[str, str], Usage],
) -> None:
    rows = {row["index"]: row for row in _C.cuda_kernels()}
    for (architecture, name), usage in kernels.items():
        index = re.search(r"gemm_kernelILi(\d+)E", name)
        if index is None:
            continue
        row, capability = rows[int(index[1])], CAPABILITIES[architecture]
        is_native = capability in NATIVE.get(row["multiply"], CAPABILITIES.values())
        has_code = usage.registers > MOST_REGISTERS_OF_NOTHING
        assert has_code == (is_native and capability < row["end_capability"]), (architecture, row)


def test_the_other_kernels_are_the_same_everywhere(
    kernels: dict[tuple[str, str], Usage],
) -> None:
    names = {
        architecture: frozenset(
            re.sub(r"_[0-9a-f]{8}_", "_", name)
            for of, name in kernels
            if of == architecture and "gemm_kernel" not in name
        )
        for architecture in ARCHITECTURES
    }
    assert len(set(names.values())) == 1
    assert names["sm_80"]


def test_no_kernel_spills(kernels: dict[tuple[str, str], Usage]) -> None:
    spilling = {key: usage for key, usage in kernels.items() if usage.spilled_bytes}
    assert not spilling
