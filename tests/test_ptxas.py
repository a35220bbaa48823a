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
WITHOUT_FLOAT8 = {"sm_80", "sm_86"}
ARCHITECTURES = {*WITHOUT_FLOAT8, "sm_89", "sm_90a", "sm_100", "sm_120"}
FLOAT8 = {"e4m3", "e4m3_e5m2", "e5m2_e4m3", "e5m2"}


@pytest.fixture(scope="module")
def kernels() -> dict[tuple[str, str], Usage]:
    if not LOG.exists():
        pytest.skip("made by `make test-all` alone")
    return ptxas_log.parse(LOG.read_text())


def test_every_architecture_has_every_row_whose_type_it_has(
    kernels: dict[tuple[str, str], Usage],
) -> None:
    assert {architecture for architecture, _ in kernels} == ARCHITECTURES
    for architecture in ARCHITECTURES:
        names = " ".join(name for of, name in kernels if of == architecture)
        found = sorted(int(index) for index in re.findall(r"gemm_kernelILi(\d+)E", names))
        left_out = FLOAT8 if architecture in WITHOUT_FLOAT8 else set[str]()
        rows = _C.cuda_kernels()
        assert found == [row["index"] for row in rows if row["multiply"] not in left_out]


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
