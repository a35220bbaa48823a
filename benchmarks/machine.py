"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import sparse_gemm as sg

ROOT = Path(__file__).parent.parent


def describe() -> dict[str, Any]:
    """Processor, instruction set, threads, versions, commit and how busy the machine was."""
    tiny = sg.compress(torch.zeros(4, 8))
    return {
        "cpu": _cpu_model(),
        "machine": platform.machine(),
        "cores": _cores(),
        "isa": sg.plan(tiny).isa,
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": importlib.metadata.version("numpy"),
        "sparse_gemm": sg.__version__,
        "commit": _commit(),
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


def _commit() -> str:
    """The commit that is checked out; '+' if files differ from it; 'unknown' outside a clone."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
