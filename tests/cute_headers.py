"""Where installed packages keep the headers of CUTLASS and of CUDA."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest


def headers_of(package: str, suffix: str) -> Path:
    """The folder from which the package's header of that name is included."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"the package {package} is not installed; its headers are needed")
    for file in files:
        if str(file).endswith("/" + suffix):
            return Path(str(file.locate())).parents[len(Path(suffix).parts) - 1]
    raise AssertionError(f"{package} holds no {suffix}")
