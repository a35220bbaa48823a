"""What a figure was measured on: processor or GPU, versions, commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_gemm.bench.sampler import visible_device

if TYPE_CHECKING:
    from sparse_gemm.bench.devices import Device

COMMIT = "SPARSE_GEMM_COMMIT"  # says it where the files were copied without their history
PACKAGES = ("torch", "numpy", "torchao", "triton", "cupy-cuda13x")
SMI_FIELDS = {  # of nvidia-smi, by the name that they have here
    "name": "name",
    "compute_capability": "compute_cap",
    "driver": "driver_version",
    "memory_mib": "memory.total",
    "max_sm_mhz": "clocks.max.sm",
    "max_memory_mhz": "clocks.max.mem",
    "power_limit_watts": "power.limit",
    "uuid": "uuid",
}


def describe(device: Device) -> dict[str, Any]:
    """The device: a CPU with its threads, or a GPU as nvidia-smi tells of it."""
    about: dict[str, Any] = {}
    if device.kind == "cpu" or device.meaningless:
        about = _cpu()
    else:
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            about = {**ask_smi()}
    facts = {"kind": device.kind, **about, **device.facts()}
    facts["energy"] = device.sampler.source if device.sampler else f"absent: {device.energy_absent}"
    return facts


def software() -> dict[str, str | None]:
    """Versions as they are installed, None where there is none; nothing is imported for it."""
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    versions |= versions_of(*PACKAGES)
    return versions


def libraries() -> dict[str, str | None]:
    """Versions that only the modules themselves tell: of this package, and of torch's CUDA."""
    import torch

    import sparse_gemm

    versions = {"sparse_gemm": sparse_gemm.__version__, "cuda of torch": torch.version.cuda}
    if torch.backends.cusparselt.is_available():
        versions["cuSPARSELt"] = str(torch.backends.cusparselt.version())
    return versions


def versions_of(*packages: str) -> dict[str, str | None]:
    """Of distributions; None of those that are not installed."""
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def commit() -> str:
    """The commit that is checked out; '+' if files differ from it; 'unknown' outside a clone."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    if not (root / ".git").exists():
        return os.environ.get(COMMIT, "unknown")
    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get(COMMIT, "unknown")


def ask_smi() -> dict[str, str]:
    """What nvidia-smi tells of the first visible GPU.

    Raises:
        OSError, subprocess.SubprocessError, ValueError: it tells nothing.
    """
    query = ",".join(SMI_FIELDS.values())
    command = ["nvidia-smi", "-i", visible_device(), f"--query-gpu={query}"]
    command.append("--format=csv,noheader,nounits")
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    line = answer.stdout.strip()
    values = [value.strip() for value in line.split(",")]
    if len(values) != len(SMI_FIELDS):
        raise ValueError(f"nvidia-smi answered {line!r} to a query of {query}")
    return dict(zip(SMI_FIELDS, values, strict=True))


def _cpu() -> dict[str, Any]:
    import torch

    import sparse_gemm as sg
    from sparse_gemm.arrays import available_threads

    tiny = sg.compress(torch.zeros(4, 8))
    return {
        "name": _cpu_model(),
        "machine": platform.machine(),
        "cores": _cores(),
        "isa": sg.plan(tiny).device,
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "threads_of_sparse_gemm": available_threads(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _cores() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
