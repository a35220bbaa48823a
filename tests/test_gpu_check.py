"""The runner of gpu-check, with commands that need no GPU: bounds, failures, kills, arithmetic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import sparse_gemm as sg
from benchmarks import cuda
from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import device, stages
from benchmarks.gpu_check.clocks import Sample, Sampler, parse_smi
from benchmarks.gpu_check.runner import Command, Results, Stage, parse_record, run_stages
from benchmarks.gpu_check.summary import summarise
from benchmarks.timing import Budget

ROOT = Path(__file__).parent.parent
H100 = device.Device(
    {**dict.fromkeys(device.FIELDS, "?"), "name": "NVIDIA H100", "compute_capability": "9.0"}
)


def script(name: str, code: str, seconds: float = 30.0) -> Command:
    return Command(name, [sys.executable, "-u", "-c", code], seconds)


def run(tmp_path: Path, *chosen: Stage, seconds: float = 60.0) -> list[dict[str, Any]]:
    results = Results(tmp_path / "results.json", {})
    run_stages(chosen, results, tmp_path / "logs", seconds)
    on_disk: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())
    assert on_disk == results.document
    return results.stages


def process_is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().split()[2] in "ZX"


def test_records_are_taken_from_the_output_and_the_rest_is_logged(tmp_path: Path) -> None:
    code = 'print("words"); print(\'{"record": "x", "n": 1}\'); print("{not json"); print("[1]")'
    (stage,) = run(
        tmp_path, Stage("a", [script("talk", code)], lambda record: {**record, "twice": 2})
    )
    assert stage["status"] == "ok"
    assert stage["records"] == [{"record": "x", "n": 1, "twice": 2}]
    assert (tmp_path / "logs" / "talk.log").read_text() == "words\n{not json\n[1]\n"


def test_a_failure_is_told_and_does_not_stop_what_follows(tmp_path: Path) -> None:
    failing = Stage(
        "a",
        [
            script("fail", 'print("the reason"); raise SystemExit(3)'),
            Command("absent", ["/nowhere/at-all"], 5.0),
            script("fine", 'print(\'{"record": "after"}\')'),
        ],
    )
    first, second = run(tmp_path, failing, Stage("b", [script("more", "")]))
    assert first["status"] == "failed"
    fail, absent, fine = first["commands"]
    assert fail["message"] == "exit 3\nthe reason"
    assert "No such file" in absent["message"]
    assert fine["status"] == "ok"
    assert first["records"] == [{"record": "after"}]
    assert second["status"] == "ok"


def test_a_record_that_cannot_be_finished_stays_with_its_error(tmp_path: Path) -> None:
    def finish(record: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("clk")

    (stage,) = run(tmp_path, Stage("a", [script("c", 'print(\'{"record": "x"}\')')], finish))
    assert stage["records"] == [{"record": "x", "error": "KeyError: 'clk'"}]


def test_a_command_over_its_bound_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
import pathlib, subprocess, sys, time
print('{{"record": "before"}}')
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))
time.sleep(60)
"""
    begin = time.monotonic()
    slow, next_one = run(
        tmp_path, Stage("a", [script("slow", code, seconds=2.0)]), Stage("b", [script("next", "")])
    )
    assert time.monotonic() - begin < 20
    assert slow["status"] == "timed out"
    assert slow["records"] == [{"record": "before"}]
    assert slow["commands"][0]["message"].startswith("killed after 2 s")
    assert next_one["status"] == "ok"
    assert process_is_gone(int(pid_file.read_text()))


def test_the_bound_of_the_whole_run_leaves_out_what_comes_too_late(tmp_path: Path) -> None:
    slow = Stage("a", [script("slow", "import time; time.sleep(60)")])
    first, second = run(tmp_path, slow, Stage("b", [script("late", "")]), seconds=1.0)
    assert first["status"] == "timed out"
    assert second["status"] == "not run"
    assert "used up" in second["commands"][0]["message"]


RUN_UNTIL_KILLED = """
import sys
from pathlib import Path
from benchmarks.gpu_check.runner import *
out = Path(sys.argv[1])
talk = 'import time; print(\\'{"record": "kept"}\\', flush=True); time.sleep(60)'
command = Command("talk", [sys.executable, "-c", talk], 60.0)
try:
    run_stages([Stage("a", [command]), Stage("b", [command])],
               Results(out / "results.json", {}), out, 60.0)
except Interrupted as interrupt:
    sys.exit(128 + interrupt.signum)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_was_found_is_kept_when_the_run_is_killed(tmp_path: Path, signum: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_UNTIL_KILLED, str(tmp_path)], cwd=ROOT, start_new_session=True
    )
    path = tmp_path / "results.json"
    give_up = time.monotonic() + 30
    while not (path.exists() and '"kept"' in path.read_text()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    process.send_signal(signum)
    process.wait(timeout=20)
    (stage,) = json.loads(path.read_text())["stages"]
    assert stage["records"] == [{"record": "kept"}]
    if signum == signal.SIGKILL:
        assert stage["status"] == "running"
    else:
        assert process.returncode == 128 + signum
        assert stage["status"] == "interrupted"


def test_the_file_is_whole_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(tmp_path / "results.json", {"n": 1})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    results.document["n"] = 2
    with pytest.raises(OSError, match="disk"):
        results.write()
    assert json.loads((tmp_path / "results.json").read_text())["n"] == 1


def test_only_objects_that_say_so_are_records() -> None:
    assert parse_record('{"record": "x"}\n') == {"record": "x"}
    for line in ('{"other": 1}', '["record"]', '{"record"', " {}", ""):
        assert parse_record(line) is None


def test_clocks_are_those_of_the_span() -> None:
    sampler = Sampler("0")
    for when in range(10):
        sampler.add(Sample(when, 1000 + when, 2000, 300 + when, 40 + when, 1 << when))
    clocks = sampler.between(2.5, 5.5)
    assert clocks is not None
    assert (clocks["samples"], clocks["sm_mhz"], clocks["sm_mhz_range"]) == (3, 1004, [1003, 1005])
    assert (clocks["watts"], clocks["celsius"], clocks["limits"]) == (304, 45, hex(0b111000))
    assert sampler.between(20, 30) is None


def test_a_line_of_nvidia_smi() -> None:
    line = "1980, 2619, 351.20, 45, 0x0000000000000004\n"
    assert parse_smi(1.5, line) == Sample(1.5, 1980, 2619, 351.2, 45, 4)
    with pytest.raises(ValueError, match="could not convert"):
        parse_smi(0.0, "1980, [N/A], 351.20, 45, 0x0")


def test_the_bounds_fit_into_the_whole_run(tmp_path: Path) -> None:
    every = stages.make_stages(H100, Sampler("0"), tmp_path)
    assert [stage.name for stage in every] == ["build", "tests", "linear", "ceilings"]
    bounds = [command.seconds for stage in every for command in stage.commands]
    assert sum(bounds) <= stages.WHOLE_RUN_SECONDS
    (extension, programs) = every[0].commands
    assert extension.environment["SPARSE_GEMM_CUDA_ARCHITECTURES"] == "90a-real"
    assert "ARCH=90a" in programs.argv
    names = [command.name for command in every[3].commands]
    assert names == ["copy", "mma", "wgmma_f16", "wgmma_e4m3"]


def test_wgmma_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    ada = device.Device({**H100.facts, "compute_capability": "8.9"})
    assert ada.target == "89"
    commands = stages.ceiling_commands(ada, tmp_path)
    assert [command.name for command in commands] == ["copy", "mma"]


FAKE_SMI = """#!/bin/sh
case "$*" in
*-lms*) while :; do echo "1755, 2619, 500.5, 51, 0x0"; sleep 0.05; done;;
*) echo "NVIDIA Fake, 9.0, 580.1, 81559, 1980, 2619, 700.00, GPU-0";;
esac
"""


def test_the_command_with_a_made_up_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(FAKE_SMI)
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    programs = out / "programs"
    programs.mkdir(parents=True)
    record = {
        "record": "copy",
        "case": "read",
        "bytes_per_iteration": 1e9,
        "iterations": 1,
        "seconds": [1e-3],
    }
    fake = f"import time, json\nb = time.monotonic()\ntime.sleep(0.5)\nr = {record!r}\n"
    fake += "print(json.dumps({**r, 'begin': b, 'end': time.monotonic()}))\n"
    (programs / "copy").write_text(f"#!{sys.executable}\n{fake}")
    (programs / "copy").chmod(0o755)

    status = gpu_check.main(["--only", "ceilings", "--out", str(out)])

    assert status == 1  # mma and wgmma are absent
    document = json.loads((out / "results.json").read_text())
    assert document["schema"] == gpu_check.SCHEMA
    assert document["device"]["name"] == "NVIDIA Fake"
    (stage,) = document["stages"]
    assert [command["status"] for command in stage["commands"]] == ["ok", *["failed"] * 3]
    assert stage["records"][0]["gb_per_s"]["median"] == 1000
    assert stage["records"][0]["clocks"]["sm_mhz"] == 1755
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].startswith("NVIDIA Fake, sm_90, driver 580.1")
    assert "mma: failed" in printed
    assert "read  1000.0" in printed


def test_no_gpu_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_check.main(["--out", str(tmp_path)]) == 2
    assert "nvidia-smi does not tell of a GPU" in capsys.readouterr().err


def test_the_summary_shows_every_kind_of_record() -> None:
    rate = {
        "dense_equiv_tflops": {"median": 1234.5},
        "percent_of_peak": 88.8,
        "clk_per_instruction": {"median": 144.0},
        "mhz_from_clk": 1700.0,
        "clocks": {"watts": 690.0},
        "dtype": "float16",
    }
    linear = {
        "record": "linear",
        "m": 4096,
        "k": 4096,
        "tokens": 16,
        "dtype": "float16",
        "variants": {
            "sparse_gemm": {
                "seconds": {"median": 10e-6},
                "dense_equiv_tflops": 53.7,
                "gb_per_s": 1887.0,
            },
            "cuSPARSELt": {"error": "ImportError: built without", "absent": True},
        },
        "ratios": {"torch dense": {"median": 1.56}},
    }
    wgmma = {"tile_m": 128, "tile_n": 256, "a_from": "shared", "fills": "none", "cluster": 1}
    document = {
        "device": H100.facts,
        "software": {"nvcc": "13.0.88", "torch": "2.11.0"},
        "commit": "abc",
        "stages": [
            {
                "name": "all",
                "status": "ok",
                "seconds": 3.0,
                "commands": [],
                "records": [
                    linear,
                    {"record": "mma", "instruction": "mma.sp.m16n8k32", "warps": 8, **rate},
                    {"record": "wgmma", "instruction": "wgmma.sp.m64n256k32", **wgmma, **rate},
                    {"record": "copy", "case": "read", "gb_per_s": {"median": 3000.0}},
                ],
            }
        ],
    }
    text = summarise(document)
    for expected in ("10.0", "absent", "1.56", "1887.0", "1234.5", "88.8", "144.00", "3000.0"):
        assert expected in text, expected


def test_linear_is_timed_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU: events, graphs and the flush are a GPU's, all else is as it will be."""
    times = iter(range(1, 1000))
    eager = staticmethod(lambda run, nbytes: cuda.Variant.eager(run, nbytes, "eager"))
    monkeypatch.setattr(cuda.Variant, "of", eager)
    monkeypatch.setattr(cuda, "time_once", lambda replay: (replay(), float(next(times)))[1])
    w = sg.prune(torch.randn(64, 128, generator=torch.Generator().manual_seed(0)).half())
    flushes: list[None] = []
    budget = Budget(seconds=0.0, min_rounds=3, max_rounds=9)
    record = cuda.bench_case(w, 16, lambda: flushes.append(None), budget)
    ours, dense = record["variants"][cuda.OURS], record["variants"][cuda.DENSE]
    assert record["rounds"] == 3
    assert len(flushes) == 6
    # Samples 1, 4, 5 and 2, 3, 6: the order changes each round.
    assert (ours["seconds"]["median"], dense["seconds"]["median"]) == (4.0, 3.0)
    assert record["ratios"][cuda.DENSE]["median"] == 1.2
    assert ours["dense_equiv_tflops"] == pytest.approx(2 * 64 * 128 * 16 / 4 / 1e12)
    assert ours["weight_bytes"] == sg.compress(w).nbytes
    assert 0 < ours["relative_error"] < torch.finfo(torch.float16).eps
    absent = record["variants"][cuda.CUSPARSELT]
    assert absent["absent"]
    assert "without cuSPARSELt" in absent["error"]
    assert "cuSPARSELt: ImportError" in cuda.describe(record)


def test_a_wrong_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(w: torch.Tensor, x: torch.Tensor) -> dict[str, Any]:
        return {cuda.OURS: lambda: cuda.Variant.eager(lambda: 1.01 * (x @ w.T), 1, "eager")}

    monkeypatch.setattr(cuda, "make_variants", wrong)
    w = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)).half()
    record = cuda.bench_case(w, 16, lambda: None, Budget(0.0, 1, 1))
    error = record["variants"][cuda.OURS]["error"]
    assert error.startswith("WrongResultError: relative error")
    assert "seconds" not in record["variants"][cuda.OURS]
    assert record["rounds"] == 0
