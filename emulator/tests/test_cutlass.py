"""CUTLASS's programs on the emulator: they pass, for the right reason, with the counts they imply.

Needs nvcc and the PyPI package nvidia-cutlass 4.2.0.0.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from cutlass_programs import PROGRAMS, Program, build, source_root
from emulated import counters, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(source_root() is None, reason="needs the package nvidia-cutlass==4.2.0.0"),
]
BY_NAME = {program.name: program for program in PROGRAMS}
CHECKS_ON_DEVICE = "14-tf32"  # its reference is a kernel too: D is compared with NumPy's instead


def succeeds(program: Program, out: str, status: int) -> bool:
    """What the program itself says of its result."""
    return status == 0 and "Failed" not in out and "failed" not in out


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_passes_without_findings_and_with_the_mma_count_of_its_shape(
    program: Program, tmp_path: Path
) -> None:
    suppress = ("--suppress", program.suppress) if program.suppress else ()
    result = run(
        *("--device", program.device, "--counters", tmp_path / "counters.json", *suppress),
        *(build(program), *program.arguments),
    )
    assert result.findings == []
    assert succeeds(program, result.out, result.status), result.out + result.err
    counted: Counter[str] = Counter()
    for launch in counters(tmp_path / "counters.json"):
        counted.update(launch["mma"])
    assert counted == {program.mma: program.num_mma}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_fails_when_no_kernel_runs(program: Program, tmp_path: Path) -> None:
    env = {"EMULATOR_SKIP_KERNELS": "1", "EMULATOR_COPIES": str(tmp_path)}
    result = run(
        "--device", program.device, build(program), *program.arguments, env=env, cwd=tmp_path
    )
    if program.name == CHECKS_ON_DEVICE:
        assert not product_agrees(program, tmp_path)
    else:
        assert not succeeds(program, result.out, result.status)


PLANTS = {
    "mma.sp": ["lanes", "metadata", "half-k"],
    "mma": ["lanes", "half-k"],
    "ldmatrix": ["lanes"],
}
PLANTED = [
    (program, f"{family}:{error}")
    for program in PROGRAMS
    for family, errors in PLANTS.items()
    for error in errors
    if family == "ldmatrix" or (family == "mma.sp") == program.mma.startswith("sp.")
]


@pytest.mark.parametrize(
    ("program", "plant"), PLANTED, ids=[f"{program.name}-{plant}" for program, plant in PLANTED]
)
def test_fails_with_a_planted_error(program: Program, plant: str, tmp_path: Path) -> None:
    env = {"EMULATOR_PLANT": plant, "EMULATOR_COPIES": str(tmp_path)}
    result = run(
        "--device", program.device, build(program), *program.arguments, env=env, cwd=tmp_path
    )
    if program.name == CHECKS_ON_DEVICE:
        assert not product_agrees(program, tmp_path)
    else:
        assert not succeeds(program, result.out, result.status)


def copies(folder: Path, direction: str, num_bytes: int) -> list[np.ndarray]:
    """float32 contents of the copies of one size, in the order in which the program made them."""
    paths = sorted(folder.glob(f"*-{direction}"), key=lambda path: int(path.name.partition("-")[0]))
    return [np.fromfile(path, np.float32) for path in paths if path.stat().st_size == num_bytes]


def product_agrees(program: Program, folder: Path) -> bool:
    """Whether what example 14 copied back is the product of what it copied there.

    A is [M, K] row-major, B [K, N] column-major, D [M, N] row-major; integer-valued, so exact.
    """
    m, n, k = program.shape
    a = copies(folder, "to-device", 4 * m * k)[0].reshape(m, k).astype(np.float64)
    b = copies(folder, "to-device", 4 * k * n)[1].reshape(n, k).T.astype(np.float64)
    d = copies(folder, "to-host", 4 * m * n)[0].reshape(m, n)
    return bool(np.array_equal(a @ b, d))


def test_the_program_that_checks_on_the_device_agrees_with_numpy(tmp_path: Path) -> None:
    program = BY_NAME[CHECKS_ON_DEVICE]
    env = {"EMULATOR_COPIES": str(tmp_path)}
    run("--device", program.device, build(program), *program.arguments, env=env, cwd=tmp_path)
    assert product_agrees(program, tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_other_schedules_give_the_same(seed: int) -> None:
    program = BY_NAME["15-half"]
    result = run("--seed", str(seed), build(program))
    assert (result.findings, result.status) == ([], 0)


def test_example_15_takes_at_most_five_seconds() -> None:
    program = BY_NAME["15-int4"]
    executable = build(program)
    start = time.monotonic()
    assert run(executable).status == 0
    assert time.monotonic() - start <= 5
