"""The commit that a figure belongs to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
VARIABLE = "SPARSE_GEMM_COMMIT"  # says it where the files were copied without their history


def commit() -> str:
    """The commit that is checked out; '+' if files differ from it; 'unknown' outside a clone."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get(VARIABLE, "unknown")
