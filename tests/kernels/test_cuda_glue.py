"""The kernel cases can fail: registration is to the byte, and planted mistakes are noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("emulator")

ROOT = Path(__file__).parents[2]
RUN = ROOT / "emulator" / "run"
FINDING_STATUS = 66

# A call in which one array is registered one element short at one of its ends.
SHORT = """
import sys
sys.path.insert(0, {helpers!r})
import emulated_memory
span = emulated_memory.byte_span
short = {short!r}

def shorter(kind, x):
    begin, end = span(kind, x)
    is_short = x.shape == (5, 70)
    return begin + 2 * is_short * (short == "begin"), end - 2 * is_short * (short == "end")

emulated_memory.byte_span = shorter
device = emulated_memory.EmulatedDevice()
device.install()
import numpy as np
import sparse_gemm as sg
a = sg.compress(np.ones((30, 70), np.float16), policy="prune", backend="cuda")
sg.linear(np.ones((5, 70), np.float16), a)
"""


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command under an emulator of its own."""
    return subprocess.run(
        [str(RUN), "--sms", "2", *command],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.parametrize("short", ["begin", "end", "neither"])
def test_an_element_that_is_not_registered_is_a_finding(short: str) -> None:
    script = SHORT.format(helpers=str(Path(__file__).parent), short=short)
    done = run(sys.executable, "-c", script)
    assert done.returncode == (0 if short == "neither" else FINDING_STATUS), done.stderr
    assert ("out-of-bounds" in done.stderr) == (short != "neither")


@pytest.mark.parametrize("mistake", ["mma.sp:metadata", "mma.sp:lanes", "ldmatrix:lanes"])
def test_a_mistake_planted_in_an_instruction_fails_the_cases(mistake: str) -> None:
    cases = "tests/kernels/test_cuda_linear.py::test_all_six_positions"
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases)
    assert run(*command).returncode == 0
    done = run(*command, EMULATOR_PLANT=mistake)
    assert done.returncode in (1, FINDING_STATUS)
    assert "1 failed" in done.stdout
