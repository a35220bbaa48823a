"""Puts the committed results into README.md, between its two markers, and draws their plot.

python -m benchmarks.readme_table [--check]

Everything comes from benchmarks/results/*.json and, while no GPU is among these, from the
predictions in benchmarks/kernel_table/kernels.json: nothing is typed. Drawing needs matplotlib,
checking does not.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kernel_table import document as kernels
from benchmarks.marks import replaced
from sparse_gemm.bench import document, series, tables
from sparse_gemm.bench.names import OURS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmark table -->\n", "<!-- end of benchmark table -->\n"
NO_RESULTS = "No results have been recorded yet; `make bench` measures your own machine.\n"
# In the plot, of what it was drawn from.
_MARK = "drawn from sha256 "

Record = Mapping[str, Any]


def render(paths: Sequence[Path]) -> str:
    """What belongs between the markers: for each file of results a plot and tables.

    Raises:
        ValueError: the times of a file mean nothing.
    """
    documents = {path: document.read(path) for path in paths}
    texts = [_render_one(path, found) for path, found in documents.items()]
    if not any(found["device"]["kind"] == "cuda" for found in documents.values()):
        texts.append(predicted(kernels.read()["gains"]))
    return "\n".join(texts if paths else [NO_RESULTS, *texts])


def _render_one(path: Path, found: document.Document) -> str:
    if found["meaningless"]:
        raise ValueError(f"the times of {path} mean nothing: {found['meaningless']}")
    plot = path.with_suffix(".svg").relative_to(ROOT).as_posix()
    lines = [
        f"**{document.title(found)}**, {found['began'][:10]}:",
        "",
        f"![Speed over the fastest dense product, by tokens]({plot})",
        "",
        *products(series.linear(found)),
        "",
        *others(found["records"]),
    ]
    return "\n".join(lines) + "\n"


def products(records: Sequence[Record]) -> Iterator[str]:
    """A row a layer and number of tokens, a column a type."""
    types = list(dict.fromkeys(record["type"] for record in records))
    yield f"| layer | tokens | {' | '.join(types)} |"
    yield "|---" * (2 + len(types)) + "|"
    cases = {(series.shape(r), r["tokens"], r["type"]): r for r in records}
    for shape, tokens in dict.fromkeys((shape, tokens) for shape, tokens, _ in cases):
        cells = [_cell(cases.get((shape, tokens, name))) for name in types]
        yield f"| {shape} | {tokens} | {' | '.join(cells)} |"


def _cell(record: Record | None) -> str:
    """Our speed over the fastest dense, our time, and the dense one's with its name."""
    ours = {} if record is None else record["variants"].get(OURS, {})
    if record is None or "speedup" not in ours:
        return tables.cell(ours)
    baseline = record["variants"][record["baseline"]]
    dense = f"{tables.duration(baseline['seconds'])} {record['baseline']}"
    return f"**{ours['speedup']['median']:.2f}** {tables.duration(ours['seconds'])}, {dense}"


def others(records: Sequence[Record]) -> Iterator[str]:
    """Calls that compute next to nothing, and compression."""
    chosen = [record for record in records if record["record"] not in ("linear", "bandwidth")]
    if not chosen:
        return
    yield "| | sparse_gemm | baseline | ratio | |"
    yield "|---|---|---|---|---|"
    for record in chosen:
        for name, variant in record["variants"].items():
            if variant["role"] == "ours" and "speedup" in variant:
                yield _row(record, name, variant)


def _row(record: Record, name: str, variant: Mapping[str, Any]) -> str:
    label = tables.label(record) + name.removeprefix(OURS)
    baseline = record["variants"][record["baseline"]]
    dense = f"{record['baseline']}: {tables.duration(baseline['seconds'])}"
    extra = ""
    if record["record"] == "compress":
        extra = f"{variant['gb_per_s']:.3g} GB/s, {variant['percent_of_copy']:.0f} % of a copy's"
    ours = tables.duration(variant["seconds"])
    return f"| {label} | {ours} | {dense} | **{variant['speedup']['median']:.2f}** | {extra} |"


def predicted(gains: Sequence[Mapping[str, Any]]) -> str:
    """A table of what the planner expects of GPUs."""
    tokens = list(dict.fromkeys(n for gain in gains for n in gain["ratios"]))
    lines = [
        "**GPUs: predictions, not measurements.** No GPU's results are committed. Shown is the",
        "dense time over ours, both by the planner's cost model (`csrc/core/cost_model.cpp`), from",
        "rates of data sheets, bytes of the operands, and instructions counted in machine code:",
        "",
        f"| GPU | type | layer | {' | '.join(tokens)} tokens |",
        "|---" * (3 + len(tokens)) + "|",
    ]
    for gain in gains:
        of = f"{gain['device']} | {gain['multiply']} | {gain['layer']}"
        cells = [f"{gain['ratios'][n]:.2f}" for n in tokens]
        lines.append(f"| {of} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def digest(path: Path) -> str:
    """Of a file of results."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plot_is_current(path: Path) -> bool:
    """Whether the plot beside a file of results was drawn from it."""
    plot = path.with_suffix(".svg")
    return plot.exists() and _MARK + digest(path) in plot.read_text()


def draw(path: Path) -> None:
    """The plot beside a file of results."""
    from sparse_gemm.bench import plots

    found = document.read(path)
    title = f"Speed over the fastest dense product ({found['device']['name']})"
    figure = plots.overview(series.by_type(found), title)
    data = plots.save(figure, "svg", description=_MARK + digest(path))
    path.with_suffix(".svg").write_bytes(data)


def with_table(readme: str, table: str) -> str:
    """The README with the table between the marks; see `replaced`."""
    return replaced(readme, BEGIN, f"\n{table}\n", END)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrites README.md and the plots, or says whether that would change them: then 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    options = parser.parse_args(arguments)
    paths = sorted(RESULTS.glob("*.json"))
    before = README.read_text()
    after = with_table(before, render(paths))
    old = [path for path in paths if not plot_is_current(path)]
    if options.check:
        if before != after or old:
            print("README.md does not show benchmarks/results: python -m benchmarks.readme_table")
            return 1
        return 0
    for path in old:
        draw(path)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
