"""The whole of gpu-check on the emulator, so that its first run on a GPU is not its first run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_check import stages
from sparse_gemm.bench import cli, document
from sparse_gemm.bench.names import OURS

ROOT = Path(__file__).parent.parent
BUILD = Path(os.environ.get("EMULATOR_BUILD", ROOT / "build" / "emulator"))


@pytest.mark.slow
@pytest.mark.skipif(not (BUILD / "lib").exists(), reason="not built: make emulator")
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no CUDA compiler on PATH")
def test_every_stage_runs_and_is_marked_meaningless(tmp_path: Path) -> None:
    command = [str(ROOT / "emulator" / "run"), "--sms", "2", sys.executable]
    command += ["-m", "sparse_gemm.gpu_check", "--emulated"]
    command += ["--only", stages.EVERY, "--out", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr  # 66: the emulator found a mistake

    found = document.read(tmp_path / "results.json")
    assert "emulator" in found["meaningless"]
    statuses = {stage["name"]: stage["status"] for stage in found["stages"]}
    assert statuses == dict.fromkeys([*stages.DEFAULT, *stages.NAMED], "ok")
    kinds = {record["record"] for record in found["records"]}
    assert kinds == {*("bandwidth", "linear", "compress", "call", "layer"), "copy", "mma"}
    linear = [record for record in found["records"] if record["record"] == "linear"]
    for peer in ("torch dense", "cuSPARSELt", "CUTLASS"):
        assert any("seconds" in record["variants"].get(peer, {}) for record in linear), peer
    energy = [r for r in linear if "energy" in r["variants"][OURS]]
    assert {record["suite"] for record in energy} == {"prefill", "conv-as-gemm"}

    summary = (tmp_path / "summary.txt").read_text()
    assert summary in ran.stdout
    assert "NO TIME BELOW MEANS ANYTHING" in summary
    assert "stand-in for compute-sanitizer" in (tmp_path / "logs" / "racecheck.log").read_text()

    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    assert cli.main(["report", str(tmp_path / "results.json"), "--out", str(tmp_path / "r")]) == 0
    page = (tmp_path / "r" / "index.html").read_text()
    assert "No time on this page means anything" in page
    assert {path.name.split("-")[1] for path in (tmp_path / "r").glob("*.svg")} == {
        *("speed", "heat", "watt", "roofline")
    }
