"""What a device computes is what the host computes: fixed programs, and random ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from differential import program
from emulated import PROGRAMS, compile_cuda, run

HERE = Path(__file__).parent
HEADER = HERE / "differential.h"
# The host fuses nothing.
SAME_ARITHMETIC = ("-fmad=false", f"-I{HERE}", "-w")
LEVELS = {"O1": ("-Xcicc", "-O1"), "O3": (), "debug": ("-G",)}
NUM_FUNCTIONS = 16
NUM_STATEMENTS = 8


def compile_with_header(source: Path, *options: str) -> Path:
    executable = PROGRAMS / source.stem
    if executable.exists() and executable.stat().st_mtime <= HEADER.stat().st_mtime:
        executable.unlink()
    return compile_cuda(source, *SAME_ARITHMETIC, *options)


def compile_random(seed: int, level: str) -> Path:
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    source = PROGRAMS / f"differential_{seed}_{level}.cu"
    text = program(seed, NUM_FUNCTIONS, NUM_STATEMENTS)
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    return compile_with_header(source, *LEVELS[level])


def check_random(seed: int, level: str) -> None:
    result = run(compile_random(seed, level))
    assert (result.status, result.out, result.findings) == (0, "", []), result.out + result.err


def test_random_functions() -> None:
    check_random(1, "O1")


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(11, 16))
def test_many_random_functions(seed: int, level: str) -> None:
    check_random(seed, level)


@pytest.mark.slow
def test_numeric_functions() -> None:
    source = HERE / "differential_numbers.cu"
    result = run(compile_with_header(source, "-Xcompiler", "-frounding-math"))
    assert (result.status, result.out, result.findings) == (0, "", []), result.out + result.err


def test_what_threads_do_together() -> None:
    executable = compile_with_header(HERE / "differential_threads.cu")
    for seed in (0, 1, 2):
        result = run("--seed", str(seed), executable)
        assert (result.status, result.findings) == (0, []), result.out + result.err
        lines = result.out.splitlines()
        assert lines
        assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
