"""Counts, predicts, and writes kernels.json, docs/kernels.md and csrc/cuda/sm80/issue_slots.h.

python -m benchmarks.kernel_table [--only machine-code,emulated,predictions] [--build DIR]

What is not done anew stays as it is committed. Predictions reckon with the issue slots that the
extension at hand was built with: build it again after machine code was counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kernel_table import document, predictions, render

PARTS = ("machine-code", "emulated", "predictions")
BUILD = document.ROOT / "build" / "architectures"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what has changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_table", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument(
        "--build", type=Path, default=BUILD, help="where a release's extension and ptxas.log are"
    )
    options = parser.parse_args(arguments)
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")

    committed = document.read()
    fresh = committed
    if "machine-code" in parts:
        fresh = document.merged(fresh, document.machine_code(options.build)) | document.versions()
    if "emulated" in parts:
        fresh = document.merged(fresh, document.stages())
    if "predictions" in parts:
        of_layers = {"losses": predictions.losses(), "gains": predictions.gains()}
        fresh = document.merged(fresh, document.predicted()) | of_layers
    for line in document.changes(committed["rows"], fresh["rows"]):
        print(line)
    document.write(fresh)
    render.write(fresh)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
