"""What ptxas said of each kernel (nvcc -Xptxas=-v): registers, spills."""

from __future__ import annotations

import re
from typing import NamedTuple


class Usage(NamedTuple):
    """Of one kernel on one architecture."""

    registers: int  # of a thread
    spilled_bytes: int  # stores and loads
    stack_bytes: int
    static_shared_bytes: int


def parse(log: str) -> dict[tuple[str, str], Usage]:
    """By architecture ("sm_80") and mangled name."""
    found: dict[tuple[str, str], Usage] = {}
    key: tuple[str, str] | None = None
    spilled = stack = 0
    for line in log.splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            key = (entry[2], entry[1])
        elif key is None:
            continue
        elif memory := re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line
        ):
            stack, spilled = int(memory[1]), int(memory[2]) + int(memory[3])
        elif used := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            static = int(shared[1]) if shared else 0
            found[key] = Usage(int(used[1]), spilled, stack, static)
            key = None
    return found
