"""Builds, tests and measures on a machine with an NVIDIA GPU; README.md beside this file says how.

python -m sparse_gemm.gpu_check [--only STAGE,STAGE] [--out DIR] [--minutes M] [--emulated]

Writes DIR/results.json while it runs and prints a summary last; DIR/logs has the commands' output.
Exit status: 0 if all that was run is well, 1 if not, 2 if there is no GPU, 128 + n after signal n.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_check import stages
from benchmarks.gpu_check.device import (
    MEANINGLESS,
    Device,
    NoDeviceError,
    find_device,
    find_emulated,
    software,
)
from benchmarks.gpu_check.runner import Interrupted, Stage, run_stages
from benchmarks.gpu_check.summary import summarise
from sparse_gemm.bench import document
from sparse_gemm.bench.sampler import Sampler, visible_device


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stages asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m sparse_gemm.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*stages.DEFAULT, *stages.NAMED]
    parser.add_argument(
        *("--only", "-k"),
        default=",".join(stages.DEFAULT),
        help=f"stages, separated by commas, of: {', '.join(names)}; {stages.EVERY}: every one",
    )
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--minutes", type=float, help="the longest that all may take")
    parser.add_argument(
        "--emulated", action="store_true", help="without a GPU, under emulator/run: tiny, untimed"
    )
    options = parser.parse_args(arguments)
    out: Path = options.out.resolve()
    os.chdir(stages.ROOT)
    try:
        device = find_emulated() if options.emulated else find_device()
    except NoDeviceError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 2
    sampler = Sampler(visible_device())
    every = {stage.name: stage for stage in stages.make_stages(device, sampler, out)}
    wanted = list(every) if options.only == stages.EVERY else options.only.split(",")
    if unknown := set(wanted) - set(every):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    chosen = [stage for name, stage in every.items() if name in wanted]
    bound = sum(stage.seconds for stage in chosen)
    if options.minutes is not None:
        bound = 60 * options.minutes
    return _run(chosen, device, sampler, out, bound)


def _run(chosen: Sequence[Stage], device: Device, sampler: Sampler, out: Path, bound: float) -> int:
    if not device.emulated:
        sampler.start()
    meaningless = MEANINGLESS if device.emulated else None
    head = document.head(device.facts, software(), meaningless)
    results = document.Results(out / "results.json", {**head, "clocks_from": sampler.source})
    signum = 0
    try:
        run_stages(chosen, results, out / "logs", bound)
    except Interrupted as interrupt:
        signum = interrupt.signum
    finally:
        sampler.stop()
    text = summarise(results.document)
    (out / "summary.txt").write_text(f"{text}\n")
    print(f"{text}\n\n{results.path}")
    if signum:
        return 128 + signum
    return 0 if all(stage["status"] == "ok" for stage in results.document["stages"]) else 1
