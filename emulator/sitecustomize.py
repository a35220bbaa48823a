"""Loaded by every Python that emulator/run starts: `sparse_gemm` is the build beside this file.

PYTHONPATH alone would not do: `python -m` and pytest put the current directory before it, and the
package's source, with an extension of its own, may lie there.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

# Not resolved: this file is a link in the build, and it is the link's directory that counts.
BUILD = str(Path(__file__).parent.absolute())


class EmulatedPackage:
    """A finder that knows the one package."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The package in BUILD; its modules are then found inside it."""
        if name != "sparse_gemm":
            return None
        return importlib.machinery.PathFinder.find_spec(name, [BUILD])


sys.meta_path.insert(0, EmulatedPackage)
