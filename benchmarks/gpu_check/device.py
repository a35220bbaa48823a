"""The GPU, its driver and the software beside it, asked without importing any of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FIELDS = {  # of nvidia-smi, by the name that they have here
    "name": "name",
    "compute_capability": "compute_cap",
    "driver": "driver_version",
    "memory_mib": "memory.total",
    "max_sm_mhz": "clocks.max.sm",
    "max_memory_mhz": "clocks.max.mem",
    "power_limit_watts": "power.limit",
    "uuid": "uuid",
}
PACKAGES = ("torch", "triton", "cupy-cuda13x", "numpy", "pybind11", "cmake", "ninja", "pytest")
# Capabilities whose instructions need the architecture's own target.
SPECIFIC_TARGETS = {"9.0": "90a"}


class NoDeviceError(RuntimeError):
    """There is no GPU to check, or nothing that tells about it."""


@dataclass(frozen=True)
class Device:
    """The first GPU that CUDA programs see here; `facts` has all FIELDS."""

    facts: dict[str, str]

    @property
    def capability(self) -> str:
        """Such as '9.0'."""
        return self.facts["compute_capability"]

    @property
    def target(self) -> str:
        """What nvcc compiles for, after 'sm_': such as '80' or '90a'."""
        return SPECIFIC_TARGETS.get(self.capability, self.capability.replace(".", ""))


def visible_device() -> str:
    """How nvidia-smi names the first GPU that CUDA programs see, ordered by PCI bus."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return first or "0"


def find_device() -> Device:
    """Asks nvidia-smi; NoDeviceError if it cannot tell."""
    query = ",".join(FIELDS.values())
    command = ["nvidia-smi", "-i", visible_device(), f"--query-gpu={query}"]
    command.append("--format=csv,noheader,nounits")
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoDeviceError(f"nvidia-smi does not tell of a GPU: {error}") from error
    line = answer.stdout.strip()
    values = [value.strip() for value in line.split(",")]
    if len(values) != len(FIELDS):
        raise NoDeviceError(f"nvidia-smi answered {line!r} to a query of {query}")
    return Device(dict(zip(FIELDS, values, strict=True)))


def find_nvcc() -> str | None:
    """Nvcc on PATH, at CUDA_HOME or CUDA_PATH, or from PyPI's package."""
    found = shutil.which("nvcc")
    if found is not None:
        return found
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    packages = importlib.util.find_spec("nvidia")
    if packages is not None:
        homes += [f"{place}/cu13" for place in packages.submodule_search_locations or ()]
    candidates = (Path(home, "bin", "nvcc") for home in homes)
    return next((str(path) for path in candidates if path.exists()), None)


def software() -> dict[str, str | None]:
    """Versions: Python, nvcc and the packages that take part; None where there is none."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "nvcc": None}
    nvcc = find_nvcc()
    if nvcc is not None:
        text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        match = re.search(r"V([0-9.]+)", text)
        versions["nvcc"] = match.group(1) if match else text.strip()
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions
