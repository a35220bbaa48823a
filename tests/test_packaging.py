"""The wheel, the sdist and the wheel made from the sdist work where nothing else is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="the package `build` is installed by `make test-all` alone")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
REQUIRES = next(
    line for line in (ROOT / "pyproject.toml").read_text().splitlines() if "requires = " in line
)


# Machine code for every architecture takes ten minutes, which `make test-all` has spent once
# already (build/architectures): a wheel with PTX alone is made the same way. And one build that
# finds its CUDA compiler, with nothing but what pip brings, is enough.
ONLY_PTX = {"SPARSE_GEMM_CUDA_ARCHITECTURES": "80-virtual"}
NO_CUDA = {"SPARSE_GEMM_CUDA": "off"}
RELEASE = ROOT / "build" / "architectures"


def run(*command: str, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of what git holds or would, so that no build leaves anything in the tree."""
    path = tmp_path_factory.mktemp("source")
    options = ("--cached", "--others", "--exclude-standard")
    listing = run("git", "ls-files", "-z", *options, cwd=ROOT).split("\0")
    for name in filter(None, listing):
        if (ROOT / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes((ROOT / name).read_bytes())
    return path


@pytest.fixture(scope="module")
def distributions(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An sdist, and a wheel that `build` makes from that sdist, not from the tree."""
    out = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out))
    run(*command, cwd=source, **ONLY_PTX)
    return {"sdist": next(out.glob("*.tar.gz")), "wheel": next(out.glob("*.whl"))}


def test_the_wheel_holds_the_package_and_nothing_else(distributions: dict[str, Path]) -> None:
    names = zipfile.ZipFile(distributions["wheel"]).namelist()
    top = {name.split("/")[0].split("-")[0] for name in names}
    assert top == {"sparse_gemm"}
    assert any(name.endswith(".so") for name in names)
    assert "sparse_gemm/py.typed" in names
    assert "sparse_gemm/_C.pyi" in names


def test_the_wheel_needs_no_cuda_library_and_has_the_kernels(
    distributions: dict[str, Path], tmp_path: Path
) -> None:
    zipfile.ZipFile(distributions["wheel"]).extractall(tmp_path)
    module = next((tmp_path / "sparse_gemm").glob("_C*.so"))
    needed = re.findall(r"NEEDED.*\[(.+)\]", run("readelf", "-d", str(module), cwd=tmp_path))
    assert not [name for name in needed if "cuda" in name]
    assert architectures_of(module.parent) == ["80-virtual"]


def test_a_release_has_machine_code_for_every_generation() -> None:
    if not list(RELEASE.glob("_C*.so")):
        pytest.skip("made by `make test-all` alone")
    assert architectures_of(RELEASE) == [
        *("80-real", "86-real", "89-real", "90a-real", "100-real", "120-real"),
        "80-virtual",
    ]


def architectures_of(folder: Path) -> list[str]:
    """What the extension in the folder was compiled for, by its own account."""
    code = "import _C as c; print(*c.cuda_build()['architectures'], c.__file__)"
    *architectures, path = run(sys.executable, "-c", code, cwd=folder).split()
    assert Path(path).parent == folder
    return architectures


def test_the_sdist_holds_what_a_build_needs(distributions: dict[str, Path]) -> None:
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"CMakeLists.txt", "cmake/cuda.cmake", "csrc/cuda/sm80/launch.cu"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def install(venv: Path, *arguments: str, **variables: str) -> str:
    """`pip install` into a new environment, as a user would; returns its Python."""
    run(sys.executable, "-m", "venv", str(venv), cwd=venv.parent)
    python = str(venv / "bin" / "python")
    run(python, "-m", "pip", "install", *arguments, cwd=venv, **variables)
    return python


def test_the_wheel_from_the_sdist_installs_and_passes_its_selftest(
    distributions: dict[str, Path], tmp_path: Path
) -> None:
    python = install(tmp_path / "venv", str(distributions["wheel"]))
    assert run(python, "-m", "sparse_gemm", "selftest", cwd=tmp_path).endswith(" 0 failed\n")


def test_pip_install_with_build_isolation(source: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", str(source), **NO_CUDA)
    assert "backends" in run(python, "-m", "sparse_gemm", "info", cwd=tmp_path)


def test_pip_install_without_build_isolation(source: Path, tmp_path: Path) -> None:
    requirements = re.findall(r'"(.+?)"', REQUIRES)
    python = install(tmp_path / "venv", *requirements)
    path = f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"  # where pip put cmake and ninja
    command = (python, "-m", "pip", "install", "--no-build-isolation", str(source))
    run("env", f"PATH={path}", *command, cwd=tmp_path, **ONLY_PTX)
    assert "backends" in run(python, "-m", "sparse_gemm", "info", cwd=tmp_path)
