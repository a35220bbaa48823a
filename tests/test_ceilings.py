"""The ceilings programs: what their figures mean, what they compile to, what they issue."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.gpu_check import ceilings, device
from sparse_gemm.bench.peaks import peak_flops_per_clk

ROOT = Path(__file__).parent.parent


def test_rates_of_a_loop_whose_numbers_are_round() -> None:
    # 132 SMs at 1 GHz, 2000 instructions each of 2 * 64 * 256 * 32 operations, 128 clk apiece.
    record = {
        "record": "wgmma",
        "dtype": "float16",
        "sparse": 1,
        "sms": 132,
        "iterations": 500,
        "instructions_per_iteration": 4,
        "dense_equiv_flops_per_instruction": 2 * 64 * 256 * 32,
        "filled_bytes_per_iteration": 40960,
        "seconds": [256e-6, 256e-6, 512e-6],
        "clk": [256000, 256000, 256000],
        "clocks": {"sm_mhz": 1000.0},
    }
    finished = ceilings.finish_mma(record, "9.0", "NVIDIA H100")
    assert finished["clk_per_instruction"] == {"median": 128.0, "p10": 128.0, "p90": 128.0}
    assert finished["percent_of_peak"] == pytest.approx(100.0)  # 8192 operations a clk
    assert finished["percent_of_peak_at_sampled_clock"] == pytest.approx(100.0)
    expected = 132 * 2000 * 2 * 64 * 256 * 32 / 256e-6 / 1e12
    assert finished["dense_equiv_tflops"]["median"] == pytest.approx(expected)
    assert finished["dense_equiv_tflops"]["p10"] == pytest.approx(expected / 2)
    assert finished["mhz_from_clk"] == pytest.approx(1000.0)
    assert finished["filled_bytes_per_clk"] == pytest.approx(80.0)
    assert finished["launches"] == 3
    assert finished["seconds"]["median"] == 256e-6


def test_bandwidth() -> None:
    record = {"bytes_per_iteration": 2e9, "iterations": 3, "seconds": [2e-3]}
    assert ceilings.finish_copy(record)["gb_per_s"]["median"] == pytest.approx(3000.0)


# The vendor's peaks: TFLOPS, SMs, boost clock in GHz.
@pytest.mark.parametrize(
    ("capability", "name", "dtype", "sparse", "tflops", "sms", "ghz"),
    [
        ("8.0", "NVIDIA A100-SXM4-80GB", "float16", False, 312, 108, 1.41),
        ("8.0", "NVIDIA A100-SXM4-80GB", "int4", True, 2496, 108, 1.41),
        ("8.9", "NVIDIA GeForce RTX 4090", "bfloat16", True, 330, 128, 2.52),
        ("8.9", "NVIDIA GeForce RTX 4090", "int8", False, 661, 128, 2.52),
        ("8.9", "NVIDIA GeForce RTX 4090", "float8_e4m3", True, 661, 128, 2.52),
        ("9.0", "NVIDIA H100 80GB HBM3", "float8_e4m3", True, 3958, 132, 1.83),
        ("9.0", "NVIDIA H100 80GB HBM3", "tfloat32", False, 495, 132, 1.83),
    ],
)
def test_peaks_are_those_of_the_data_sheets(
    capability: str, name: str, dtype: str, sparse: bool, tflops: float, sms: int, ghz: float
) -> None:
    peak = peak_flops_per_clk(capability, name, dtype, sparse)
    assert peak is not None
    assert peak * sms * ghz / 1e3 == pytest.approx(tflops, rel=0.01)


def test_a_peak_that_is_not_known_is_left_out() -> None:
    assert peak_flops_per_clk("13.7", "NVIDIA Next", "float16", True) is None


def make_ceilings(build: Path, *options: str) -> str:
    """Makes the programs and returns what the compiler said; skips where there is none."""
    nvcc = device.find_program("nvcc")
    if nvcc is None:
        pytest.skip("there is no CUDA compiler")
    command = ["make", "-C", str(ROOT / "benchmarks" / "ceilings"), f"NVCC={nvcc}"]
    command += [f"BUILD={build}", *options]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert made.returncode == 0, made.stdout
    return made.stdout


KERNELS = {"80": 2 + 12, "89": 2 + 12, "90a": 2 + 12 + 2 * 52}  # copy, mma and wgmma


@pytest.mark.slow
@pytest.mark.parametrize("arch", KERNELS)
def test_ptxas_has_nothing_against_the_ceilings(tmp_path: Path, arch: str) -> None:
    log = make_ceilings(tmp_path, f"ARCH={arch}", "EXTRA=-c -Xptxas -v")
    # wgmma that ptxas serialises, or setmaxnreg that it ignores: remarks C7508 to C7514.
    assert "(C75" not in log
    assert log.count("0 bytes stack frame, 0 bytes spill stores") == KERNELS[arch]


EMULATOR = ROOT / "build" / "emulator" / "lib"
NUM_SMS, ITERATIONS = 2, 3


@pytest.mark.slow
@pytest.mark.skipif(not EMULATOR.exists(), reason="the emulator is not built: make emulator")
@pytest.mark.parametrize(("gpu", "arch", "num_types"), [("a100", "80", 5), ("rtx4090", "89", 6)])
def test_the_mma_loop_issues_what_it_counts(
    tmp_path: Path, gpu: str, arch: str, num_types: int
) -> None:
    plain_ptx = "-cudart shared --compress-mode=none"
    gencode = f"GENCODE=arch=compute_{arch},code=compute_{arch}"
    make_ceilings(tmp_path, f"ARCH={arch}", gencode, f"EXTRA={plain_ptx}", f"{tmp_path}/mma")
    counters = tmp_path / "counters.json"
    command = [str(ROOT / "emulator" / "run"), "--device", gpu, "--sms", str(NUM_SMS)]
    command += ["--counters", str(counters), str(tmp_path / "mma"), "--iterations", str(ITERATIONS)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr  # a finding, such as illegal metadata, would make it 66
    records = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(records) == num_types * 2 * 2  # dense and sparse, two numbers of warps
    launches = json.loads(counters.read_text())["launches"]
    for record, launch in zip(records, launches, strict=True):
        ((shape, count),) = launch["mma"].items()
        assert count == NUM_SMS * ITERATIONS * record["instructions_per_iteration"]
        assert shape.startswith("sp") == bool(record["sparse"])
        extents = re.search(r"m(\d+)n(\d+)k(\d+)", shape)
        assert extents is not None
        assert extents.group() in record["instruction"]
        m, n, k = (int(extent) for extent in extents.groups())
        assert record["dense_equiv_flops_per_instruction"] == 2 * m * n * k
