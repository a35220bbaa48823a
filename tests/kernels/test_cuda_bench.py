"""`python -m sparse_gemm.bench` on the device at hand: tiny cases, whose times mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from device_arrays import Library
from typed_cases import names_on_this_device

from sparse_gemm import _C
from sparse_gemm.bench import cli, devices, document
from sparse_gemm.bench.names import CUDA_TYPES, OURS

pytestmark = pytest.mark.usefixtures("allow_tf32")


def find(kind: str) -> devices.Device:
    """The GPU, or the stand-in for it on the emulator."""
    if _C.cuda_device(0).emulated:
        from benchmarks.gpu_check.stand_in import StandIn

        return StandIn()
    return devices.find(kind)


def measure(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    path = tmp_path / "results.json"
    command = ["run", *arguments, "--quick", "--device", "cuda", "--out", str(path)]
    assert cli.main(command, find=find) == 0
    found = document.read(path)
    assert found["meaningless"]
    records: list[dict[str, Any]] = found["records"]
    return records


def test_products_of_every_type(device: Library, tmp_path: Path) -> None:
    records = [r for r in measure(tmp_path, "decode") if r["record"] == "linear"]
    assert {record["type"] for record in records} == set(CUDA_TYPES)
    for record in records:
        ours = record["variants"][OURS]
        if record["type"] == "float8_e4m3fn" and "e4m3" not in names_on_this_device():
            assert "absent" in ours
            continue
        assert ours["relative_error"] < 1e-2
        assert ours["call_seconds"]["median"] > 0
        assert "seconds" in record["variants"]["torch dense"], record["variants"]


def test_peers_and_power(device: Library, tmp_path: Path) -> None:
    arguments = ("prefill", "--types", "float16", "--energy", "0.1")
    records = [r for r in measure(tmp_path, *arguments) if r["record"] == "linear"]
    for record in records:
        assert "no 2:4 kernel for float16" in record["variants"]["torchao"]["absent"]
        for name in ("cuSPARSELt", "CUTLASS"):
            variant = record["variants"][name]
            if _C.cuda_device(0).emulated:
                assert variant["relative_error"] < 1e-2
                assert "seconds" in variant
            else:  # which may lack the library, or be of a generation that it refuses
                assert not variant.get("error", "").startswith("WrongResultError")
        if "energy_absent" not in record:
            dense = record["variants"]["torch dense"]["energy"]
            assert dense["per_watt_over_dense"] == 1.0
            expected = dense["watts"] * dense["seconds_per_call"]
            assert dense["joules_per_call"] == pytest.approx(expected, rel=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["square", "models", "conv-as-gemm", "compress", "overhead"])
def test_other_suites(device: Library, suite: str, tmp_path: Path) -> None:
    records = measure(tmp_path, suite)
    timed = [r for r in records if "seconds" in r["variants"].get(OURS, {})]
    assert timed
    kinds = {record["record"] for record in timed}
    assert kinds == {"compress": {"compress"}, "overhead": {"call", "layer"}}.get(suite, {"linear"})
