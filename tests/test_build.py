"""The build finds a CUDA compiler where it should, takes none that is too old, and says why not."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CMAKE = Path(sys.executable).parent / "cmake"

pytestmark = pytest.mark.skipif(not CMAKE.exists(), reason="cmake is not installed beside Python")


def fake_nvcc(directory: Path, version: str) -> Path:
    """A toolkit whose compiler says its version and where it lies, and no more."""
    nvcc = directory / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "Cuda compilation tools, release 0, V{version}"\n'
        f'[ "$1" = --dryrun ] && echo "#$ _HERE_={nvcc.parent}" >&2\n'
    )
    nvcc.chmod(nvcc.stat().st_mode | stat.S_IEXEC)
    return nvcc


def find(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the search with a PATH without compilers, but for what `variables` say."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sh", "env"):
        found = shutil.which(name)
        assert found is not None
        if not (tools / name).exists():
            (tools / name).symlink_to(found)
    clean = {k: v for k, v in os.environ.items() if k not in ("CUDA_HOME", "CUDA_PATH")}
    return subprocess.run(
        [str(CMAKE), "-P", str(ROOT / "cmake" / "find_nvcc.cmake")],
        env={**clean, "PATH": str(tools), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_compiler_the_reason_names_the_places(tmp_path: Path) -> None:
    done = find(tmp_path)
    assert done.returncode != 0
    assert "no nvcc >= 12.8 on PATH, at CUDA_HOME or from PyPI" in " ".join(done.stderr.split())


@pytest.mark.parametrize("variable", ["CUDA_HOME", "CUDA_PATH"])
def test_a_compiler_at_a_variable_is_found(tmp_path: Path, variable: str) -> None:
    nvcc = fake_nvcc(tmp_path / "cuda", "13.0.88")
    done = find(tmp_path, **{variable: str(tmp_path / "cuda")})
    assert (done.returncode, done.stdout.strip()) == (0, str(nvcc))


def test_path_goes_first_and_a_wrapper_leads_to_the_compiler(tmp_path: Path) -> None:
    fake_nvcc(tmp_path / "home", "13.0.88")
    nvcc = fake_nvcc(tmp_path / "path", "12.8.61")
    wrapper = tmp_path / "wrapper" / "nvcc"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {nvcc} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{tmp_path / 'tools'}"
    done = find(tmp_path, PATH=path, CUDA_HOME=str(tmp_path / "home"))
    assert (done.returncode, done.stdout.strip()) == (0, str(nvcc))


def test_one_that_is_too_old_is_named_and_passed_over(tmp_path: Path) -> None:
    old = fake_nvcc(tmp_path / "old", "12.6.85")
    path = f"{old.parent}:{tmp_path / 'tools'}"
    done = find(tmp_path, PATH=path)
    assert done.returncode != 0
    assert f"{old} is 12.6.85" in " ".join(done.stderr.split())
    new = fake_nvcc(tmp_path / "new", "13.1.2")
    done = find(tmp_path, PATH=path, CUDA_HOME=str(tmp_path / "new"))
    assert (done.returncode, done.stdout.strip()) == (0, str(new))
