"""`python -m benchmarks.gpu_check`: gpu-check, also where no extension was built yet."""

from __future__ import annotations

import importlib
import sys

from benchmarks.gpu_check import unbuilt

if __name__ == "__main__":
    unbuilt.allow()
    sys.exit(importlib.import_module("benchmarks.gpu_check.command").main())
