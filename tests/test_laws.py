"""The laws of the house (docs/architecture.md), checked on the files themselves."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

import sparse_gemm as sg
from sparse_gemm import _C

ROOT = Path(__file__).parent.parent
CXX = sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cpp", ".cu"))
PYTHON = sorted((ROOT / "sparse_gemm").rglob("*.py"))
MAX_LINES = 400
MAX_FUNCTION_LINES = 60


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """The folder: core, cpu, cuda, cuda/sm80, ...; empty for the spine."""
    folder = path.relative_to(ROOT / "csrc").parent.as_posix()
    return "" if folder == "." else folder


def includes(path: Path) -> list[str]:
    return re.findall(r'#include\s+[<"]([^>"]+)[>"]', path.read_text())


# Which rooms a room may include from. What a generation's kernels share lies below them; they never
# include each other.
KERNEL_PARTS = {"core", "format", "cuda/ptx", "cuda/device", "cuda/epilogue", "cuda/runtime"}
ALLOWED = {
    "core": {"core"},
    "format": {"core", "format"},
    "cpu": {"core", "cpu"},
    "cuda/ptx": {"cuda/ptx"},
    "cuda/device": {"core", "format", "cuda/ptx", "cuda/device"},
    "cuda/epilogue": {"core", "cuda/ptx", "cuda/device", "cuda/epilogue"},
    "cuda/runtime": {"core", "cuda/runtime"},
    "cuda/format": {"core", "format", "cuda/runtime", "cuda/format"},
    "cuda/sm80": {*KERNEL_PARTS, "cuda/sm80"},
    "cuda/sm90": {*KERNEL_PARTS, "cuda/sm90"},
    "cuda": {"core", "cuda/format", "cuda/runtime", "cuda/sm80", "cuda/sm90", "cuda"},
    "": {"core", "cpu", "cuda", "cuda/runtime", "cuda/sm80", "cuda/sm90", ""},
    "bindings": {"core", "format", "cpu", "cuda/format", "cuda/runtime", "bindings", ""},
}


@pytest.mark.parametrize("path", CXX, ids=relative)
def test_rooms_include_only_what_lies_below_them(path: Path) -> None:
    for name in includes(path):
        target = ROOT / "csrc" / name
        if target.exists():
            assert room(target) in ALLOWED[room(path)], f"{relative(path)} includes {name}"


# The same for the Python package: rooms, and the modules outside of any, which have a name each.
PYTHON_BASE = {"_C", "errors"}
PYTHON_ALLOWED = {
    "arrays": set(),
    "format": {"arrays"},
    "gemm": {"arrays", "format"},
    "planning": {"arrays", "format", "gemm"},
    "torch_glue": {"arrays", "format", "gemm"},
    "ops": {"arrays", "format", "gemm", "torch_glue"},
    "nn": {"arrays", "format", "gemm", "planning", "torch_glue", "ops"},
    "reference": set(),
    "metadata_orders": set(),
    "checkpoints": {"arrays", "format", "metadata_orders"},
    "hf": {"format", "nn", "checkpoints"},
}
PYTHON_DOORS = {
    "__init__",
    "__main__",
    "cli",
    "bench",
    "gpu_check",
}  # they lie above all the others


def python_room(path: Path) -> str:
    return path.relative_to(ROOT / "sparse_gemm").with_suffix("").parts[0]


def imports(path: Path) -> list[str]:
    """What a file imports of the package, dotted, wherever in the file it does so."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)} has a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.partition(".")[0] == "sparse_gemm"]


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_python_rooms_import_only_what_lies_below_them(path: Path) -> None:
    here = python_room(path)
    if here in PYTHON_DOORS | PYTHON_BASE:
        return
    allowed = PYTHON_ALLOWED[here] | PYTHON_BASE | {here}
    for name in imports(path):
        assert name.split(".")[1] in allowed, f"{relative(path)} imports {name}"


def test_python_rooms_have_one_order() -> None:
    """Each room is listed after all that it may import: so there is no cycle among them."""
    listed: set[str] = set()
    for name, below in PYTHON_ALLOWED.items():
        assert below <= listed, name
        listed.add(name)
    folders = {path.parent.name for path in (ROOT / "sparse_gemm").glob("*/__init__.py")}
    assert folders <= listed | PYTHON_DOORS


@pytest.mark.parametrize("path", CXX, ids=relative)
def test_python_and_torch_stay_out_of_the_core(path: Path) -> None:
    for name in includes(path):
        assert not re.match(r"(torch|ATen|c10)/", name)
        if room(path) != "bindings":
            assert not re.match(r"(pybind11/|Python\.h)", name)


@pytest.mark.parametrize("path", CXX, ids=relative)
def test_cuda_headers_stay_in_the_cuda_rooms(path: Path) -> None:
    if not room(path).startswith("cuda"):
        assert not [name for name in includes(path) if re.match(r"cuda\w*\.h", name)]


@pytest.mark.parametrize("path", CXX, ids=relative)
def test_inline_assembly_stays_in_the_ptx_room(path: Path) -> None:
    if room(path) != "cuda/ptx":
        assert not re.search(r"\basm\b", re.sub(r"//.*", "", path.read_text()))


@pytest.mark.parametrize("path", [*CXX, *PYTHON], ids=relative)
def test_files_stay_small_and_carry_no_leftovers(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_functions_stay_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            length = (node.end_lineno or 0) - node.lineno + 1
            length -= len(docstring.splitlines()) if docstring else 0
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def test_only_the_command_line_prints() -> None:
    for path in PYTHON:
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        prints = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
        rooms = path.relative_to(ROOT).parts
        assert not prints or "cli" in rooms or path.stem == "cli", relative(path)


def test_the_stub_lists_what_the_extension_has() -> None:
    tree = ast.parse((ROOT / "sparse_gemm" / "_C.pyi").read_text())
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    built = {name for name in dir(_C) if not name.startswith("_")}
    assert (set(classes) | functions) - {"_Enum"} == built
    for name in ("DType", "Pattern", "Policy", "Activation", "Isa"):
        fields = {n.target.id for n in classes[name].body if isinstance(n, ast.AnnAssign)}
        assert fields - {"__members__"} == set(getattr(_C, name).__members__)


def test_no_function_of_one_instruction_set_can_stand_in_for_another() -> None:
    """Weak symbols are merged by the linker: each that an isa file defines must belong to its SIMD
    traits alone, or code built for AVX-512 could run on a machine without it."""
    traits = {
        "portable": "Portable",
        "avx2": "Avx2",
        "avx512": "Avx512<",
        "avx512_vnni": "Avx512Vnni",
        "avx512_bf16": "Avx512Bf16",
    }
    objects = {name: sorted(ROOT.glob(f"build/**/isa_{name}.cpp.o")) for name in traits}
    if not objects["portable"]:
        pytest.skip("the package was not built in this tree, so there are no object files")
    for name, paths in objects.items():
        for path in paths:
            if "sanitize" in path.parts:
                continue
            listing = subprocess.run(
                ["nm", "--demangle", str(path)], capture_output=True, text=True, check=True
            ).stdout
            weak = re.findall(r"^\S+ W (.+)$", listing, flags=re.MULTILINE)
            assert [symbol for symbol in weak if traits[name] not in symbol] == []


def test_versions_and_changelog_agree() -> None:
    found = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert found is not None
    version = found.group(1)
    assert sg.__version__ == version
    assert re.search(rf"^## .*{re.escape(version)}", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_every_public_name_exists_and_has_a_docstring() -> None:
    for name in sg.__all__:
        value = getattr(sg, name)
        assert name == "__version__" or value.__doc__, name
