"""The emulator is a house of its own: what it says of a kernel owes nothing to the kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EMULATOR = Path(__file__).parents[1]
CSRC = EMULATOR.parent / "csrc"
MAX_LINES = 400
FILES = sorted(path for path in EMULATOR.rglob("*") if path.suffix in (".h", ".cpp", ".cu"))

# Which rooms a room may include from. Executing an instruction touches memory, and memory asks
# which warp touches it: those two, and what they report, are one piece in three rooms.
PIECE = {"ptx", "numeric", "mma", "execute", "memory", "report"}
ALLOWED = {
    "ptx": {"ptx"},
    "fatbin": {"fatbin"},
    "numeric": {"numeric"},
    "mma": {"ptx", "numeric", "mma"},
    "execute": PIECE,
    "memory": PIECE,
    "report": {"ptx", "execute", "report"},
    "runtime": {*PIECE, "fatbin", "runtime"},
    "tests": {*PIECE, "fatbin", "runtime", "tests"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EMULATOR)))
def test_rooms_include_only_what_lies_below_them(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    for name in re.findall(r'#include\s+"([^"]+)"', text):
        room, _, rest = name.partition("/")
        if not rest:  # beside it
            room = path.parent.name
        assert room in ALLOWED[path.parent.name], f"includes {name}"
        assert not (CSRC / name).exists(), f"{name} is a file of csrc/ too"


@pytest.mark.parametrize("folder", ["csrc", "sparse_gemm"])
def test_nothing_shipped_knows_the_emulator(folder: str) -> None:
    for path in (EMULATOR.parent / folder).rglob("*"):
        if path.suffix in (".h", ".cpp", ".cu", ".py"):
            assert not re.search(r"(#include|import).*\bemulator\b", path.read_text()), path
