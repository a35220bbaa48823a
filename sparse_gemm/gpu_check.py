"""`python -m sparse_gemm.gpu_check`, the same as `make gpu-check`: build, test, measure on a GPU.

Kernels, tests and ceilings are built and run from the source tree, which a wheel does not have;
`python -m sparse_gemm.bench` measures without it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

_NO_SOURCES = """\
gpu_check builds and tests from the source tree, and there is none here: this package was installed,
and the current directory is no clone. In a clone of the repository, with the Python that has torch:
    make gpu-check
To measure the package as it is installed:
    python -m sparse_gemm.bench run decode models --out results.json"""


def find_sources() -> Path | None:
    """The source tree: the one that this file is of, or the current directory."""
    for folder in (Path(__file__).resolve().parents[1], Path.cwd()):
        if (folder / "benchmarks" / "gpu_check").is_dir() and (folder / "csrc").is_dir():
            return folder
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status; 2 where there are no sources."""
    sources = find_sources()
    if sources is None:
        sys.stderr.write(f"{_NO_SOURCES}\n")
        return 2
    sys.path.insert(0, str(sources))
    status: int = importlib.import_module("benchmarks.gpu_check.command").main(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
