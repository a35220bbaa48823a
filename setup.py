"""Builds the extension `sparse_gemm._C` by calling CMake; all else is in pyproject.toml."""

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


class CMakeBuild(build_ext):
    """Configures and builds CMakeLists.txt; the module lands where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build_dir = Path(self.build_temp).resolve()
        # --fresh: an earlier build may have been set up by an isolated environment that is gone.
        configure = [
            *("cmake", "--fresh", "-S", str(ROOT), "-B", str(build_dir)),
            *(("-G", "Ninja") if shutil.which("ninja") else ()),
            f"-DCMAKE_BUILD_TYPE={os.environ.get('SPARSE_GEMM_BUILD_TYPE', 'Release')}",
            f"-DSPARSE_GEMM_VERSION={self.distribution.get_version()}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target.parent}",
            *os.environ.get("SPARSE_GEMM_CMAKE_ARGS", "").split(),
        ]
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build_dir), "--parallel"], check=True)


setup(ext_modules=[Extension("sparse_gemm._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
