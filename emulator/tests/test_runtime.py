"""The stand-in runtime and its runner: what programs ask, what statuses come through."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from emulated import BUILD, FINDING_STATUS, PROGRAMS, compile_cuda, run

SOURCE = Path(__file__).parent / "programs.cu"


@pytest.fixture(scope="module")
def programs() -> Path:
    return compile_cuda(SOURCE)


@pytest.mark.parametrize("case", ["symbols", "errors", "timing"])
def test_programs_see_the_runtime_they_expect(programs: Path, case: str) -> None:
    result = run(programs, case)
    assert (result.status, result.findings) == (0, []), result.out + result.err


def test_device_printf_reaches_stdout(programs: Path) -> None:
    lines = sorted(run(programs, "timing").out.splitlines())
    assert lines == ["block 0 of 2:  1.50 text", "block 1 of 2:  1.50 text"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["NVIDIA A100-SXM4-80GB (emulated)|8.0|108", "1"]),
        (["--device", "rtx4090"], ["NVIDIA GeForce RTX 4090 (emulated)|8.9|128", "1"]),
        (["--device", "rtx5090"], ["NVIDIA GeForce RTX 5090 (emulated)|12.0|170", "1"]),
        (["--sms", "3", "--devices", "2"], ["NVIDIA A100-SXM4-80GB (emulated)|8.0|3", "2"]),
    ],
)
def test_devices_are_as_asked_for(programs: Path, options: list[str], expected: list[str]) -> None:
    assert run(*options, programs, "properties").out.splitlines() == expected


@pytest.mark.parametrize(("device", "ctas"), [("a100", 4), ("rtx4090", 2)])
def test_occupancy_is_limited_by_shared_memory(programs: Path, device: str, ctas: int) -> None:
    # 40 KiB and 1 KiB for the driver: 164 KiB of an SM hold four, 100 KiB two
    assert run("--device", device, programs, "occupancy").out.strip() == str(ctas)


def test_a_device_sees_its_own_memory_only(programs: Path) -> None:
    result = run("--devices", "2", programs, "own_memory_only")
    assert result.status == FINDING_STATUS
    assert any(": out-of-bounds: " in line for line in result.findings)


def test_the_host_cannot_dereference_device_memory(programs: Path) -> None:
    assert run(programs, "dereference").status == 128 + 11  # SIGSEGV


def test_the_programs_own_status_comes_through(programs: Path) -> None:
    assert run(programs, "status").status == 7
    assert run("true").status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "h100", "true"], "expected a100, rtx4090 or rtx5090"),
        (["--seed"], "--seed needs a value"),
        (["--frobnicate", "true"], "unknown option --frobnicate"),
        ([], "usage"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.status == 2
    assert message in result.err


def compile_with(name: str, *options: str) -> Path:
    program = PROGRAMS / name
    subprocess.run(
        ["nvcc", "-std=c++20", "-cudart", "shared", *options, "-o", str(program), str(SOURCE)],
        check=True,
    )
    return program


def test_compressed_ptx_is_read() -> None:
    program = compile_with("compressed", "-gencode", "arch=compute_80,code=compute_80")
    assert run(program, "symbols").status == 0


def test_a_program_without_ptx_is_told_how_to_build() -> None:
    program = compile_with("cubin_only", "-gencode", "arch=compute_80,code=sm_80")
    result = run(program, "symbols")
    assert result.status == FINDING_STATUS
    assert "code=compute_80" in result.err


def test_an_unknown_instruction_is_named_with_its_source_line(programs: Path) -> None:
    lines = SOURCE.read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, start=1) if line.endswith("// UNKNOWN"))
    result = run(programs, "unknown_instruction")
    assert result.status == FINDING_STATUS
    (finding,) = result.findings
    assert f"{SOURCE.name}:{number}: unknown-instruction: vadd." in finding


def test_the_programs_are_linked_to_the_stand_in(programs: Path) -> None:
    listed = run("ldd", programs).out
    assert str(BUILD.resolve()) in str(
        Path(listed.split("libcudart.so.13 => ")[1].split()[0]).resolve()
    )
