"""`python -m sparse_gemm`: `commands` reads the command line, a module does each command's work.

`info` reports backends and devices, `selftest` compares every type with the reference, `figures`
draws the format. The commands on checkpoints are in `sparse_gemm.checkpoints`.
"""

from __future__ import annotations

from sparse_gemm.cli.commands import main

__all__ = ["main"]
