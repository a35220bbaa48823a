"""What ptxas makes of the kernels for every architecture of a release: no spills, mma.sp in use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LOG = ROOT / "build" / "architectures" / "ptxas.log"
ARCHITECTURES = {"sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120"}


@pytest.fixture(scope="module")
def kernels() -> dict[tuple[str, str], dict[str, int]]:
    """(architecture, kernel) -> registers and bytes spilled, from `ptxas -v`."""
    if not LOG.exists():
        pytest.skip("made by `make test-all` alone")
    found: dict[tuple[str, str], dict[str, int]] = {}
    key = ("", "")
    for line in LOG.read_text().splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            key = (entry[2], entry[1])
        elif spilled := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if key != ("", ""):
                found.setdefault(key, {})["spilled"] = int(spilled[1]) + int(spilled[2])
        elif used := re.search(r"Used (\d+) registers", line):
            found.setdefault(key, {})["registers"] = int(used[1])
            key = ("", "")
    return found


def test_every_architecture_has_the_same_kernels(
    kernels: dict[tuple[str, str], dict[str, int]],
) -> None:
    assert {architecture for architecture, _ in kernels} == ARCHITECTURES
    names = {
        architecture: {
            re.sub(r"_[0-9a-f]{8}_", "_", name) for arch, name in kernels if arch == architecture
        }
        for architecture in ARCHITECTURES
    }
    assert len(set(map(frozenset, names.values()))) == 1
    assert any("gemm_kernel" in name for name in names["sm_80"])


def test_no_kernel_spills(kernels: dict[tuple[str, str], dict[str, int]]) -> None:
    spilling = {key: report for key, report in kernels.items() if report["spilled"]}
    assert not spilling
