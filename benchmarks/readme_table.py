"""Puts the committed results into README.md, between its two markers.

python -m benchmarks.readme_table [--check]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.report import Result, duration, label, read_json
from benchmarks.timing import Spread

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmark table -->\n", "<!-- end of benchmark table -->\n"
NO_RESULTS = "No results have been recorded yet; `make bench` measures your own machine.\n"


def render(paths: Sequence[Path]) -> str:
    """What belongs between the markers: one table for each file of results.

    Raises:
        ValueError: a file is of a --quick run, whose figures mean nothing.
    """
    return "\n".join(_render_one(path) for path in paths) or NO_RESULTS


def _render_one(path: Path) -> str:
    document = json.loads(path.read_text())
    if document["settings"]["quick"]:
        raise ValueError(f"{path} is of a --quick run; expected results of a full one")
    lines = [
        f"{machine.summary(document['machine'])}:",
        "",
        "| call | type | sparse_gemm | baseline | ratio | |",
        "|---|---|---|---|---|---|",
        *(_row(result) for result in read_json(path)),
    ]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    ratio = f"**{result.ratio.median:.2f}** ({result.ratio.p10:.2f} to {result.ratio.p90:.2f})"
    figures = ", ".join(f"{name} {value:.3g}" for name, value in result.figures.items())
    times = f"{_median(result.seconds)} | {result.baseline}: {_median(result.baseline_seconds)}"
    return f"| {label(result)} | {result.dtype} | {times} | {ratio} | {figures} |"


def _median(seconds: Spread) -> str:
    return duration(seconds).partition(" (")[0]


def replaced(readme: str, table: str) -> str:
    """`readme` with `table` between the markers.

    Raises:
        ValueError: there is not one pair of markers.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"expected one line {BEGIN.strip()} and one line {END.strip()}")
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrites README.md, or says whether that would change it; the exit status is 1 if so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    options = parser.parse_args(arguments)
    before = README.read_text()
    after = replaced(before, render(sorted(RESULTS.glob("*.json"))))
    if before == after:
        return 0
    if options.check:
        print("README.md does not show benchmarks/results: run python -m benchmarks.readme_table")
        return 1
    README.write_text(after)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
