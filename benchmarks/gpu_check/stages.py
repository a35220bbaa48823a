"""The stages of `make gpu-check`: what is run, and what is made of its records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu_check.ceilings import finish_copy, finish_mma
from benchmarks.gpu_check.clocks import Sampler
from benchmarks.gpu_check.device import Device, find_nvcc
from benchmarks.gpu_check.runner import Command, Record, Stage

ROOT = Path(__file__).parent.parent.parent
WHOLE_RUN_SECONDS = 480.0


def make_stages(device: Device, sampler: Sampler, out: Path) -> list[Stage]:
    """All stages, in their order; the bounds of all commands fit into WHOLE_RUN_SECONDS."""
    programs = out.resolve() / "programs"
    stages = [
        Stage("build", build_commands(device, programs)),
        Stage("tests", test_commands(out)),
        Stage("linear", [python("linear", 90, "-m", "benchmarks.cuda", "--records")]),
        Stage("ceilings", ceiling_commands(device, programs)),
    ]
    return [Stage(stage.name, stage.commands, finisher(device, sampler)) for stage in stages]


def environment() -> dict[str, str]:
    """For every command: this Python's programs first, and devices in nvidia-smi's order."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "PYTHONUNBUFFERED": "1"}


def python(name: str, seconds: float, *arguments: str, **variables: str) -> Command:
    """This Python with arguments."""
    return Command(name, [sys.executable, *arguments], seconds, environment() | variables)


def build_commands(device: Device, programs: Path) -> list[Command]:
    """The extension, in place and with what is installed; then the ceilings programs."""
    jobs = str(os.cpu_count() or 1)
    make = ["make", "-C", str(ROOT / "benchmarks" / "ceilings"), "--jobs", jobs]
    make += [f"ARCH={device.target}", f"BUILD={programs}", f"NVCC={find_nvcc() or 'nvcc'}"]
    architectures = {"SPARSE_GEMM_CUDA": "on"}
    architectures["SPARSE_GEMM_CUDA_ARCHITECTURES"] = f"{device.target}-real"
    return [
        python("extension", 110, "setup.py", "build_ext", "--inplace", **architectures),
        Command("programs", make, 80, environment()),
    ]


def test_commands(out: Path) -> list[Command]:
    """The kernel cases on the GPU, and the selftest."""
    junit = out.resolve() / "kernels.xml"
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    return [
        python("kernels", 80, "-m", "pytest", *options, "tests/kernels"),
        python("selftest", 30, "-m", "sparse_gemm", "selftest"),
    ]


def ceiling_commands(device: Device, programs: Path) -> list[Command]:
    """The programs that were built for this device."""

    def program(name: str, bound: float, *arguments: str) -> Command:
        return Command(name, [str(programs / name), *arguments], bound, environment())

    commands = [program("copy", 10), program("mma", 20)]
    if device.target == "90a":
        commands += [program(f"wgmma_{dtype}", 30, "--seconds", "0.2") for dtype in ("f16", "e4m3")]
    return commands


def finisher(device: Device, sampler: Sampler) -> Callable[[Record], Record]:
    """Adds to a record the clocks of its time, and what follows from it."""

    def finish(record: Record) -> Record:
        if "begin" in record:
            record = {**record, "clocks": sampler.between(record["begin"], record["end"])}
        if record["record"] == "copy":
            return finish_copy(record)
        if record["record"] in ("mma", "wgmma"):
            return finish_mma(record, device.capability, device.facts["name"])
        return record

    return finish
