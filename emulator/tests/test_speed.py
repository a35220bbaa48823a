"""How fast the emulator is, with every check on: the figures that make emulated tests practical."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from emulated import compile_cuda, counters, run

SOURCE = Path(__file__).parent / "speed.cu"
ROUNDS = 3  # the best of them: what else the machine does only ever slows one down
pytestmark = pytest.mark.slow


def rate(loop: str, folder: Path) -> float:
    """Executions a second and core: of warp instructions, or of mma."""
    program = compile_cuda(SOURCE)
    cores = len(os.sched_getaffinity(0))
    best = 0.0
    for _ in range(ROUNDS):
        assert run("--counters", folder / "c.json", program, loop).status == 0
        (launch,) = counters(folder / "c.json")
        executed = sum(launch["mma"].values()) or launch["warp_instructions"]
        best = max(best, executed / launch["seconds"] / cores)
    return best


@pytest.mark.parametrize(("loop", "least"), [("ordinary", 3e6), ("multiply", 0.5e6)])
def test_rate_a_core(loop: str, least: float, tmp_path: Path) -> None:
    measured = rate(loop, tmp_path)
    print(f"{loop}: {measured / 1e6:.2f} million a second and core")
    assert measured >= least
