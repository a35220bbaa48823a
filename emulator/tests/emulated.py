"""Running programs under `emulator/run`, for tests."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RUN = ROOT / "emulator" / "run"
BUILD = ROOT / "build" / "emulator"
PROGRAMS = BUILD / "programs"
FINDING_STATUS = 66


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    status: int
    out: str
    err: str

    @property
    def findings(self) -> list[str]:
        """First lines of the findings; notes are none."""
        kinds = (
            *("out-of-bounds", "misaligned", "uninitialised-read", "race", "unfinished-copy"),
            *("divergent-aligned", "deadlock", "invalid-metadata", "use-after-free"),
            *("unknown-instruction", "trap", "invalid-argument"),
        )
        lines = self.err.splitlines()
        return [line for line in lines if any(f": {kind}: " in line for kind in kinds)]


def run(
    *command: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> Result:
    """`emulator/run` with these arguments: options, program, its arguments."""
    done = subprocess.run(
        [str(RUN), *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        timeout=timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def counters(path: Path) -> list[dict[str, Any]]:
    """The launches in a file that `--counters` wrote."""
    launches: list[dict[str, Any]] = json.loads(path.read_text())["launches"]
    return launches


def compile_cuda(source: Path, *options: str, arch: int = 80) -> Path:
    """Compiles a CUDA program to PTX alone, with line information, unless it is up to date."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    program = PROGRAMS / source.stem
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    command = [
        *("nvcc", "-std=c++20", "-O3", "-cudart", "shared", "-lineinfo", "--compress-mode=none"),
        *("-gencode", f"arch=compute_{arch},code=compute_{arch}", *options),
        *("-o", str(program), str(source)),
    ]
    subprocess.run(command, check=True)
    return program
