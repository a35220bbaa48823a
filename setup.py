"""Builds the extension `sparse_gemm._C` by calling CMake; all else is in pyproject.toml.

Variables of the environment that change it: SPARSE_GEMM_CUDA, SPARSE_GEMM_CUDA_ARCHITECTURES,
SPARSE_GEMM_CUDA_RUNTIME and SPARSE_GEMM_CUDA_FLAGS (cmake/cuda.cmake), SPARSE_GEMM_BUILD_TYPE,
SPARSE_GEMM_CMAKE_ARGS; and SPARSE_GEMM_NO_EXTENSION, to install the Python files alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
CUDA_VARIABLES = ("", "_ARCHITECTURES", "_RUNTIME", "_FLAGS")


def num_jobs() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CMakeBuild(build_ext):
    """Configures and builds CMakeLists.txt; the module lands where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build_dir = Path(self.build_temp).resolve()
        names = (f"SPARSE_GEMM_CUDA{suffix}" for suffix in CUDA_VARIABLES)
        # --fresh: an earlier build may have been set up by an isolated environment that is gone.
        configure = [
            *("cmake", "--fresh", "-S", str(ROOT), "-B", str(build_dir)),
            *(("-G", "Ninja") if shutil.which("ninja") else ()),
            f"-DCMAKE_BUILD_TYPE={os.environ.get('SPARSE_GEMM_BUILD_TYPE', 'Release')}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target.parent}",
            *(f"-D{name}={os.environ[name]}" for name in names if name in os.environ),
            *os.environ.get("SPARSE_GEMM_CMAKE_ARGS", "").split(),
        ]
        subprocess.run(configure, check=True)
        build = ["cmake", "--build", str(build_dir), "--parallel", str(num_jobs())]
        subprocess.run(build, check=True)


def extensions() -> list[Extension]:
    """The extension, unless it is not wanted: the Makefile builds it in place by itself."""
    if os.environ.get("SPARSE_GEMM_NO_EXTENSION"):
        return []
    return [Extension("sparse_gemm._C", sources=[])]


setup(ext_modules=extensions(), cmdclass={"build_ext": CMakeBuild})
