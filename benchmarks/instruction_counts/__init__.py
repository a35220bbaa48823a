"""Instructions that the CPU kernels execute, counted: they do not drift as times do.

count.cpp runs each case (a kernel, its types, its tokens) at four sizes. The figure is the
difference of differences over M and K: what the inner loop takes for each kept weight and token of
`linear`, for each dense element of compress and its like; planning, packing and epilogue cancel.

valgrind's callgrind counts portable and avx2. It knows no AVX-512: those are single-stepped.
avx512_vnni's kernels, those of int8 and of the format, are counted as avx512_bf16's; `intel` is for
the planner's choice on that maker's cores.

    python -m benchmarks.instruction_counts    # counts anew, writes figures.json beside this file

needs `make instruction-counts` beforehand. The figures are one compiler's.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "build" / "instruction_counts" / "instruction_counts"
PATH = Path(__file__).parent / "figures.json"
BY_VALGRIND = ("portable", "avx2")
BY_STEPS = ("avx512", "avx512_bf16")
REGENERATE = "if that is right, run `python -m benchmarks.instruction_counts` and say why"
_CANNOT_COUNT = 77

Figures = dict[str, float]
Count = tuple[str, int, int, int]  # case, M, K, instructions


class CannotCountError(Exception):
    """Why this machine cannot."""


def compiler() -> str:
    """The version of the compiler that built the program."""
    if not PROGRAM.exists():
        raise CannotCountError("made by `make instruction-counts` and `make test-all` alone")
    done = subprocess.run([PROGRAM, "--compiler"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == _CANNOT_COUNT:
        raise CannotCountError(done.stderr.strip() or "this machine lets nobody single-step")
    done.check_returncode()
    return done.stdout


def by_steps(isa: str) -> list[Count]:
    """Counts of every run, by single-stepping."""
    lines = (line.split() for line in _run([str(PROGRAM), isa]).splitlines())
    return [(case, int(m), int(k), int(count)) for case, m, k, count in lines]


def by_valgrind(isa: str) -> list[Count]:
    """The same, by callgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CannotCountError("valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile"
        tool = [valgrind, "-q", "--tool=callgrind", f"--callgrind-out-file={out}"]
        _run([*tool, str(PROGRAM), isa])
        texts = [path.read_text() for path in Path(folder).iterdir()]
    counts = []
    for text in texts:
        label = re.search(r"^desc: Trigger: Client Request: (\S+) (\d+) (\d+)$", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if label is not None and total is not None:
            case, m, k = label.groups()
            counts.append((case, int(m), int(k), int(total.group(1))))
    return counts


def figures_of(counts: Iterable[Count]) -> Figures:
    """Instructions a unit of work, from counts at M and 2 M, K and 2 K."""
    by_case: dict[str, dict[tuple[int, int], int]] = {}
    for case, m, k, count in counts:
        by_case.setdefault(case, {})[m, k] = count
    figures = {}
    for case, sizes in by_case.items():
        (m, k), (double_m, double_k) = min(sizes), max(sizes)
        grown = sizes[double_m, double_k] - sizes[double_m, k] - sizes[m, double_k] + sizes[m, k]
        work = (double_m - m) * (double_k - k)
        if case.startswith("linear"):
            work = work // 2 * int(case.rpartition("-")[2])
        figures[case] = round(grown / work, 4)
    return figures


def count(isa: str) -> Figures:
    """The figures of one instruction set."""
    return figures_of(by_valgrind(isa) if isa in BY_VALGRIND else by_steps(isa))


def read() -> dict[str, Any]:
    """The committed document: `compiler`, and `figures` by instruction set and case."""
    document: dict[str, Any] = json.loads(PATH.read_text())
    return document
