"""Results: one record a comparison, as JSON and as tables."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.timing import Spread, Timings


@dataclass(frozen=True)
class Result:
    """One of our functions against a baseline, timed in turns.

    Attributes:
        case: "linear", "compress" or "call".
        dtype: of the weight and the activations.
        m, n, k: out_features, tokens (0: none take part) and in_features.
        ours, baseline: what was called.
        rounds: samples of each.
        seconds, baseline_seconds: for one call.
        ratio: baseline_seconds / seconds, round by round; above 1 ours is faster.
        figures: what else follows from the times; the key says what and in which unit.
    """

    case: str
    dtype: str
    m: int
    n: int
    k: int
    ours: str
    baseline: str
    rounds: int
    seconds: Spread
    baseline_seconds: Spread
    ratio: Spread
    figures: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, case: str, dtype: str, mnk: tuple[int, int, int], timings: Timings) -> Result:
        """From timings of exactly two variants: ours, then the baseline."""
        ours, baseline = timings.seconds
        return cls(
            *(case, dtype, *mnk, ours, baseline, timings.rounds),
            seconds=timings.of(ours),
            baseline_seconds=timings.of(baseline),
            ratio=timings.ratio(baseline, ours),
        )


def write_json(path: Path, results: Sequence[Result], settings: dict[str, Any]) -> None:
    """Writes machine, settings and results."""
    document = {
        "machine": machine.describe(),
        "settings": settings,
        "results": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_json(path: Path) -> list[Result]:
    """The results that `write_json` wrote."""
    records: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    spreads = ("seconds", "baseline_seconds", "ratio")
    return [
        Result(**{**record, **{name: Spread(**record[name]) for name in spreads}})
        for record in records
    ]


def tables(results: Sequence[Result]) -> str:
    """One table for each case and baseline; all as median (10th to 90th percentile)."""
    groups = itertools.groupby(results, key=lambda result: (result.case, result.baseline))
    return "\n\n".join(_table(f"{key[0]}, against {key[1]}", list(group)) for key, group in groups)


def _table(title: str, results: Sequence[Result]) -> str:
    rows: list[tuple[str, ...]] = [(title, "dtype", "ours", "baseline", "ratio", "")]
    rows += [_row(result) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, dtype, *numbers, figures in rows:
        cells = [name.ljust(widths[0]), dtype.ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[2:5], strict=True)]
        lines.append("  ".join([*cells, figures]).rstrip())
    return "\n".join(lines)


def _row(result: Result) -> tuple[str, ...]:
    ratio = f"{result.ratio.median:.2f} ({result.ratio.p10:.2f} to {result.ratio.p90:.2f})"
    figures = ", ".join(f"{name} {value:.3g}" for name, value in result.figures.items())
    times = (duration(result.seconds), duration(result.baseline_seconds))
    return (f"  {label(result)}", result.dtype, *times, ratio, figures)


def label(result: Result) -> str:
    """What was called, on what: 'linear 4096x4096, 16 tokens'."""
    name = f"{result.ours} {result.m}x{result.k}"
    return name if result.n == 0 else f"{name}, {result.n} token{'s' if result.n > 1 else ''}"


def duration(seconds: Spread) -> str:
    """Median, 10th and 90th percentile: '6.78 us (6.71 to 7.24)'."""
    unit, scale = ("us", 1e6) if seconds.median < 1e-3 else ("ms", 1e3)
    median, p10, p90 = (scale * value for value in (seconds.median, seconds.p10, seconds.p90))
    return f"{median:.3g} {unit} ({p10:.3g} to {p90:.3g})"
