"""The GPU and the compiler for it; a GPU that the emulator stands in for."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparse_gemm.bench import machine

# Capabilities whose instructions need the architecture's own target.
SPECIFIC_TARGETS = {"9.0": "90a"}
MEANINGLESS = "the kernels were executed by the emulator, one instruction after the other"


class NoDeviceError(RuntimeError):
    """There is no GPU to check, or nothing that tells about it."""


@dataclass(frozen=True)
class Device:
    """The first GPU that CUDA programs see here; `facts` has all that nvidia-smi was asked."""

    facts: dict[str, Any]
    emulated: bool = False

    @property
    def capability(self) -> str:
        """Such as '9.0'."""
        return str(self.facts["compute_capability"])

    @property
    def target(self) -> str:
        """What nvcc compiles for, after 'sm_': such as '80' or '90a'."""
        return SPECIFIC_TARGETS.get(self.capability, self.capability.replace(".", ""))


def find_device() -> Device:
    """Asks nvidia-smi; NoDeviceError if it cannot tell."""
    try:
        return Device({"kind": "cuda", **machine.ask_smi()})
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise NoDeviceError(f"nvidia-smi does not tell of a GPU: {error}") from error


def find_emulated() -> Device:
    """The one of `emulator/run`; NoDeviceError if this process was not started by it."""
    from sparse_gemm import _C

    if "EMULATOR_FINDINGS" not in os.environ:
        raise NoDeviceError("--emulated wants emulator/run before the command")
    if _C.cuda_device_count() == 0:
        raise NoDeviceError(f"no emulated device: {_C.cuda_unavailable_reason()}")
    props = _C.cuda_device(0)
    capability = ".".join(map(str, props.capability))
    facts = {"kind": "cuda", "name": props.name, "compute_capability": capability}
    return Device({**facts, "driver": "none (emulated)"}, emulated=True)


def find_program(name: str) -> str | None:
    """A program of the CUDA toolkit: on PATH, at CUDA_HOME or CUDA_PATH, or of PyPI's package."""
    found = shutil.which(name)
    if found is not None:
        return found
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    packages = importlib.util.find_spec("nvidia")
    if packages is not None:
        homes += [f"{place}/cu13" for place in packages.submodule_search_locations or ()]
    folders = ("bin", "compute-sanitizer")
    candidates = [Path(home, folder, name) for home in homes for folder in folders]
    if name != "nvcc" and (nvcc := find_program("nvcc")) is not None:
        beside = Path(nvcc).resolve().parent
        candidates += [beside / name, beside.parent / "compute-sanitizer" / name]
    return next((str(path) for path in candidates if path.exists()), None)


def software() -> dict[str, str | None]:
    """Versions of what takes part: those that `bench` tells, and what builds and tests."""
    versions = machine.software() | machine.versions_of("pybind11", "cmake", "ninja", "pytest")
    nvcc = find_program("nvcc")
    if nvcc is not None:
        text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        match = re.search(r"V([0-9.]+)", text)
        versions["nvcc"] = match.group(1) if match else text.strip()
    return {"nvcc": None, **versions}
