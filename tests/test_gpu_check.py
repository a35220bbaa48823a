"""The runner of gpu-check, with commands that need no GPU: bounds, failures, kills, arithmetic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_check import command as gpu_check
from benchmarks.gpu_check import stages
from benchmarks.gpu_check.device import Device
from benchmarks.gpu_check.runner import Command, Stage, parse_record, run_stages
from benchmarks.gpu_check.summary import summarise
from sparse_gemm import gpu_check as entry
from sparse_gemm.bench import cli, devices, document, machine
from sparse_gemm.bench.cases import MODEL_TOKENS, SUITES
from sparse_gemm.bench.document import Results
from sparse_gemm.bench.sampler import Sample, Sampler, parse_smi

ROOT = Path(__file__).parent.parent
H100 = Device(
    {**dict.fromkeys(machine.SMI_FIELDS, "?"), "name": "NVIDIA H100", "compute_capability": "9.0"}
)


def script(name: str, code: str, seconds: float = 30.0) -> Command:
    return Command(name, [sys.executable, "-u", "-c", code], seconds)


def run(tmp_path: Path, *chosen: Stage, seconds: float = 60.0) -> list[dict[str, Any]]:
    """The stages of the document, each with its records as well."""
    results = Results(tmp_path / "results.json", {})
    run_stages(chosen, results, tmp_path / "logs", seconds)
    on_disk: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())
    assert on_disk == results.document
    return with_records(on_disk)


def with_records(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["stages"]
    for stage in found:
        of_stage = [record for record in document["records"] if record["stage"] == stage["name"]]
        stage["records"] = [
            {key: value for key, value in record.items() if key != "stage"} for record in of_stage
        ]
    return found


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
from sparse_gemm.bench.document import Results
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
    (stage,) = with_records(json.loads(path.read_text()))
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


def test_a_line_of_nvidia_smi() -> None:
    line = "1980, 2619, 351.20, 45, 0x0000000000000004\n"
    assert parse_smi(1.5, line) == Sample(1.5, 1980, 2619, 351.2, 45, 4)
    with pytest.raises(ValueError, match="could not convert"):
        parse_smi(0.0, "1980, [N/A], 351.20, 45, 0x0")


def make_stages(device: Device, out: Path) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages.make_stages(device, Sampler("0"), out)}


def test_the_bounds_fit_into_the_whole_run(tmp_path: Path) -> None:
    every = make_stages(H100, tmp_path)
    assert list(every)[: len(stages.DEFAULT)] == list(stages.DEFAULT)
    assert sum(every[name].seconds for name in stages.DEFAULT) <= stages.WHOLE_RUN_SECONDS
    (extension, programs) = every["build"].commands
    assert extension.environment["SPARSE_GEMM_CUDA_ARCHITECTURES"] == "90a-real"
    assert "ARCH=90a" in programs.argv
    names = [command.name for command in every["ceilings"].commands]
    assert names == ["copy", "mma", "wgmma_f16", "wgmma_e4m3"]


def test_all_suites_are_stages_and_end_before_their_bound(tmp_path: Path) -> None:
    every = make_stages(H100, tmp_path)
    suites = {command.argv[4] for stage in every.values() for command in bench_commands(stage)}
    assert suites == set(SUITES)
    for stage in every.values():
        for command in bench_commands(stage):
            minutes = float(command.argv[command.argv.index("--minutes") + 1])
            assert 60 * minutes <= command.seconds - 9
            assert cli_takes(command.argv[3:])


def bench_commands(stage: Stage) -> list[Command]:
    return [command for command in stage.commands if "sparse_gemm.bench" in command.argv]


def cli_takes(arguments: Sequence[str]) -> bool:
    """Whether its command line is one: the run ends at the device, which there is none of."""

    class ReachedError(Exception):
        pass

    def find(kind: str) -> devices.Device:
        raise ReachedError

    with pytest.raises(ReachedError):
        cli.main(arguments, find=find)
    return True


def test_default_models_are_six_layers_by_six_token_counts_by_three_types(tmp_path: Path) -> None:
    (command,) = make_stages(H100, tmp_path)["models"].commands
    layers, types = (
        command.argv[command.argv.index(option) + 1].split(",")
        for option in ("--layers", "--types")
    )
    assert (len(layers), len(MODEL_TOKENS), len(types)) == (6, 6, 3)


def test_wgmma_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    ada = Device({**H100.facts, "compute_capability": "8.9"})
    assert ada.target == "89"
    commands = make_stages(ada, tmp_path)["ceilings"].commands
    assert [command.name for command in commands] == ["copy", "mma"]


def test_four_sanitizers_run_side_by_side_or_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "find_program", lambda name: f"/toolkit/{name}")
    stage = make_stages(H100, tmp_path)["sanitizer"]
    assert stage.together
    assert [command.argv[0] for command in stage.commands] == ["/toolkit/compute-sanitizer"] * 4
    assert all(command.absent is None for command in stage.commands)
    monkeypatch.setattr(stages, "find_program", lambda name: None)
    absent = make_stages(H100, tmp_path)["sanitizer"]
    (found,) = run(tmp_path, absent)
    assert found["status"] == "ok"
    assert {command["status"] for command in found["commands"]} == {"absent"}


def test_commands_run_together(tmp_path: Path) -> None:
    """Each waits for what the other writes; one that outlives its bound stops no other."""
    wait = f"""
import pathlib, sys, time
here, there = (pathlib.Path({str(tmp_path)!r}) / name for name in sys.argv[1:])
here.touch()
while not there.exists():
    time.sleep(0.01)
"""
    pair = [
        Command(name, [sys.executable, "-c", wait, *names], 20.0)
        for name, names in (("one", ("a", "b")), ("two", ("b", "a")))
    ]
    slow = script("slow", "import time; time.sleep(60)", seconds=3.0)
    begin = time.monotonic()
    (stage,) = run(tmp_path, Stage("pair", [*pair, slow], together=True))
    assert [command["status"] for command in stage["commands"]] == ["ok", "ok", "timed out"]
    assert stage["status"] == "timed out"
    assert time.monotonic() - begin < 15


def test_what_a_program_knows_of_the_device_is_kept(tmp_path: Path) -> None:
    head = {"record": "head", "device": {"sms": 132, "name": "?"}, "software": {"torch": "2"}}
    results = Results(tmp_path / "results.json", {"device": {"name": "H100"}})
    run_stages(
        [Stage("a", [script("c", f"print({json.dumps(json.dumps(head))})")])],
        results,
        tmp_path,
        60.0,
    )
    assert results.document["device"] == {"sms": 132, "name": "H100"}
    assert results.document["software"] == {"torch": "2"}
    assert results.document["records"] == []


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
    found = document.read(out / "results.json")
    assert found["device"]["name"] == "NVIDIA Fake"
    (stage,) = with_records(found)
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


def test_without_sources_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "__file__", str(tmp_path / "site-packages" / "x" / "gpu_check.py"))
    monkeypatch.chdir(tmp_path)
    assert entry.main([]) == 2
    assert "make gpu-check" in capsys.readouterr().err
    monkeypatch.chdir(ROOT)
    assert entry.find_sources() == ROOT


def test_emulated_wants_the_emulator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EMULATOR_FINDINGS", raising=False)
    assert gpu_check.main(["--emulated"]) == 2
    assert "emulator/run" in capsys.readouterr().err


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
        **{"record": "linear", "suite": "models", "type": "float16", "baseline": "torch dense"},
        **{"m": 4096, "k": 4096, "tokens": 16},
        "variants": {
            "sparse_gemm": {
                "role": "ours",
                "seconds": {"median": 10e-6},
                "speedup": {"median": 1.56, "p10": 1.5, "p90": 1.6},
                "dense_equiv_tflops": 53.7,
                "gb_per_s": 1887.0,
            },
            "torch dense": {"role": "dense", "seconds": {"median": 15.6e-6}},
            "cuSPARSELt": {"role": "sparse", "absent": "ImportError: built without"},
        },
    }
    wgmma = {"tile_m": 128, "tile_n": 256, "a_from": "shared", "fills": "none", "cluster": 1}
    found = {
        "device": H100.facts,
        "software": {"nvcc": "13.0.88", "torch": "2.11.0"},
        "commit": "abc",
        "stages": [{"name": "all", "status": "ok", "seconds": 3.0, "commands": []}],
        "records": [
            linear,
            {"record": "mma", "instruction": "mma.sp.m16n8k32", "warps": 8, **rate},
            {"record": "wgmma", "instruction": "wgmma.sp.m64n256k32", **wgmma, **rate},
            {"record": "copy", "case": "read", "gb_per_s": {"median": 3000.0}},
        ],
    }
    text = summarise(found)
    for expected in ("10 us", "absent", "1.56", "1.89e+03 GB/s", "1234.5", "88.8", "144.00"):
        assert expected in text, expected
    assert "3000.0" in text
    assert "built without" in text
    assert "MEANS" not in text
    assert "NO TIME BELOW MEANS ANYTHING: made up" in summarise({**found, "meaningless": "made up"})


BEFORE_ANYTHING_IS_BUILT = """
import sys
sys.modules["sparse_gemm._C"] = sys.modules["torch"] = None  # neither can be imported
from benchmarks.gpu_check import unbuilt
unbuilt.allow()
from benchmarks.gpu_check.command import main
sys.exit(main(["--only", "build", "--minutes", "0", "--out", sys.argv[1]]))
"""


def test_it_begins_without_the_extension_that_it_builds(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(FAKE_SMI)
    smi.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("EMULATOR_FINDINGS", None)
    command = [sys.executable, "-c", BEFORE_ANYTHING_IS_BUILT, str(tmp_path / "out")]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, "")
    (stage,) = document.read(tmp_path / "out" / "results.json")["stages"]
    assert stage["status"] == "not run"
    assert "NVIDIA Fake, sm_90" in ran.stdout
