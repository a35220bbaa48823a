"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

import sparse_gemm as sg
from benchmarks.commit import commit


def describe() -> dict[str, Any]:
    """Processor, instruction set, threads, versions, commit and how busy the machine was."""
    tiny = sg.compress(torch.zeros(4, 8))
    return {
        "cpu": _cpu_model(),
        "machine": platform.machine(),
        "cores": _cores(),
        "isa": sg.plan(tiny).device,
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": importlib.metadata.version("numpy"),
        "sparse_gemm": sg.__version__,
        "commit": commit(),
    }


def summary(machine: dict[str, Any]) -> str:
    """One line about it."""
    return (
        f"{machine['cpu']}, {machine['cores']} core(s) of {machine['machine']}, "
        f"{machine['threads']} thread(s) for every variant; sparse_gemm {machine['sparse_gemm']} "
        f"({machine['isa']}), torch {machine['torch']} ({machine['torch_isa']}), "
        f"commit {machine['commit']}"
    )


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
