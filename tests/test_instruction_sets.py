"""No function compiled for one instruction set stands in for its copy in another file.

An inline function of a header that is not inlined is a weak symbol, of which the linker keeps any
one copy. That made with AVX-512 must not be what a processor without it runs.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

OBJECTS = Path(__file__).parent.parent / "build" / "extension"

pytestmark = pytest.mark.skipif(
    not (shutil.which("nm") and shutil.which("c++")), reason="nm and c++ are not installed"
)


def weak_functions(compiled: Path) -> set[str]:
    listed = subprocess.run(
        ["nm", "--demangle", "--defined-only", str(compiled)],
        capture_output=True,
        text=True,
        check=True,
    )
    symbols = (line.split(maxsplit=2) for line in listed.stdout.splitlines())
    return {symbol[2] for symbol in symbols if len(symbol) == 3 and symbol[1] == "W"}


def shared_with_an_instruction_set(objects: Iterable[Path]) -> dict[str, set[str]]:
    """Weak functions of the isa_* that another object has, too -> who has them."""
    owners: dict[str, set[str]] = defaultdict(set)
    for compiled in objects:
        for function in weak_functions(compiled):
            owners[function].add(compiled.name)
    return {
        function: names
        for function, names in owners.items()
        if len(names) > 1 and any(name.startswith("isa_") for name in names)
    }


def test_what_two_instruction_sets_share_is_found(tmp_path: Path) -> None:
    source = "inline int shared(int x) { return x + 1; } int {name}(int x) { return shared(x); }"
    for name in ("isa_a", "isa_b", "other"):
        (tmp_path / f"{name}.cpp").write_text(source.replace("{name}", name))
        command = ["c++", "-O0", "-c", f"{name}.cpp", "-o", f"{name}.o"]
        subprocess.run(command, cwd=tmp_path, check=True)
    found = shared_with_an_instruction_set(tmp_path.glob("*.o"))
    assert found == {"shared(int)": {"isa_a.o", "isa_b.o", "other.o"}}


@pytest.mark.skipif(not OBJECTS.exists(), reason="the extension was not built by make")
def test_instruction_sets_share_no_function_with_any_file() -> None:
    objects = [*OBJECTS.rglob("*.o")]
    assert any(compiled.name.startswith("isa_") for compiled in objects)
    assert shared_with_an_instruction_set(objects) == {}
