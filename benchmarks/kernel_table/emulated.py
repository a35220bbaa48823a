"""What a stage of each kernel's main loop does: tests/kernels/kernel_counts.py, on the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_DEVICES = ("a100", "rtx4090", "rtx5090")  # a kernel runs on the first that has its type


def counts(rows: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """By the row's index.

    Raises:
        subprocess.CalledProcessError: a kernel failed, or the emulator found a mistake.
        ValueError: no device that the emulator stands in for can run some rows.
    """
    found: dict[int, dict[str, Any]] = {}
    for device in _DEVICES:
        missing = [str(row["index"]) for row in rows if row["index"] not in found]
        if missing:
            found |= {int(index): counted for index, counted in _run(device, missing).items()}
    if left := [row for row in rows if row["index"] not in found]:
        raise ValueError(f"no emulated device can run {left}")
    return found


def _run(device: str, indices: Sequence[str]) -> dict[str, dict[str, Any]]:
    emulator = [str(ROOT / "emulator" / "run"), "--device", device, "--sms", "2"]
    program = [sys.executable, str(ROOT / "tests" / "kernels" / "kernel_counts.py")]
    command = [*emulator, *program, *indices]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found
