"""python -m benchmarks.gpu_check [--only build,tests,linear,ceilings] [--out DIR] [--minutes M].

Writes DIR/results.json while it runs and prints a summary last; DIR/logs has the commands' output.
Exit status: 0 if all that was run is well, 1 if not, 2 if there is no GPU, 128 + n after signal n.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.commit import commit
from benchmarks.gpu_check import stages
from benchmarks.gpu_check.clocks import Sampler
from benchmarks.gpu_check.device import NoDeviceError, find_device, software, visible_device
from benchmarks.gpu_check.runner import Interrupted, Results, run_stages
from benchmarks.gpu_check.summary import summarise

SCHEMA = 1  # of results.json; grows when the meaning of a field changes


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stages asked for."""
    parser = argparse.ArgumentParser(prog="gpu-check", description=__doc__)
    parser.add_argument("--only", default="", help="stages to run, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--minutes", type=float, default=stages.WHOLE_RUN_SECONDS / 60)
    options = parser.parse_args(arguments)
    out: Path = options.out.resolve()
    os.chdir(stages.ROOT)
    try:
        device = find_device()
    except NoDeviceError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 2
    sampler = Sampler(visible_device())
    every = stages.make_stages(device, sampler, out)
    wanted = [name for name in options.only.split(",") if name] or [stage.name for stage in every]
    unknown = set(wanted) - {stage.name for stage in every}
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    sampler.start()
    document = {
        "schema": SCHEMA,
        "commit": commit(),
        "began": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": device.facts,
        "software": software(),
        "clocks_from": sampler.source,
    }
    results = Results(out / "results.json", document)
    signum = 0
    try:
        chosen = [stage for stage in every if stage.name in wanted]
        run_stages(chosen, results, out / "logs", 60 * options.minutes)
    except Interrupted as interrupt:
        signum = interrupt.signum
    finally:
        sampler.stop()
    print(summarise(results.document))
    print(f"\n{results.path}")
    if signum:
        return 128 + signum
    return 0 if all(stage["status"] == "ok" for stage in results.stages) else 1


if __name__ == "__main__":
    sys.exit(main())
