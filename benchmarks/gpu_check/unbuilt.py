"""The package's modules that need no extension, importable where none was built yet.

gpu-check builds the extension, so it cannot import a package that begins by loading it.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "sparse_gemm"


def allow() -> None:
    """From now on `sparse_gemm` is a name for its folder, with nothing of __init__.py in it.

    Does nothing once the package is loaded, nor under emulator/run, which has a built one.
    """
    if "sparse_gemm" not in sys.modules and "EMULATOR_FINDINGS" not in os.environ:
        package = types.ModuleType("sparse_gemm")
        package.__path__ = [str(PACKAGE)]
        sys.modules["sparse_gemm"] = package
