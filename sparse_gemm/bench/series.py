"""What the figures of a document show, as numbers; no drawing yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparse_gemm.bench.names import OURS

Record = Mapping[str, Any]


class Point(NamedTuple):
    """A median with the 10th and the 90th percentile, at some x."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    Attributes:
        title: the type and the shape.
        x_label: "tokens" or "batch".
        lines: by the name of the way.
    """

    title: str
    x_label: str
    lines: dict[str, list[Point]]


@dataclass(frozen=True)
class HeatMap:
    """Our speed over the fastest dense: a row a layer, a column a number of tokens."""

    title: str
    rows: list[str]
    columns: list[int]
    values: list[list[float | None]]


@dataclass(frozen=True)
class Roofline:
    """Rates over intensity.

    Attributes:
        bandwidth: bytes a second that were measured.
        roofs: operations a second, by whose they are; dense-equivalent.
        points: operations for each byte of the compressed weight, and operations a second.
    """

    title: str
    bandwidth: float
    roofs: dict[str, float]
    points: list[tuple[float, float]]


def linear(document: Mapping[str, Any]) -> list[Record]:
    """The products, of each case the first."""
    found: dict[tuple[Any, ...], Record] = {}
    for record in document["records"]:
        if record["record"] == "linear" and record["variants"]:
            found.setdefault((record["type"], shape(record), record["tokens"]), record)
    return list(found.values())


def shape(record: Record) -> str:
    """Such as "4096x4096"; one for all squares; for a convolution also where it is in the net."""
    if record["suite"] == "square":
        return "M = N = K"
    if "batch" in record:
        places = record["tokens"] // record["batch"]
        return f"{record['m']}x{record['k']} at {places} places"
    return f"{record['m']}x{record['k']}"


def speedups(document: Mapping[str, Any]) -> list[Panel]:
    """A panel a type and shape: the fastest dense time over each way's, by tokens."""
    return [panel for panel in _panels(linear(document), _speedup) if len(panel.lines) > 0]


def by_type(document: Mapping[str, Any]) -> list[Panel]:
    """A panel a type: our speed alone, a line a shape."""
    panels: dict[str, Panel] = {}
    for panel in speedups(document):
        name, _, of = panel.title.partition(", ")
        if OURS in panel.lines:
            merged = panels.setdefault(name, Panel(name, panel.x_label, {}))
            merged.lines[of] = panel.lines[OURS]
    return list(panels.values())


def means(document: Mapping[str, Any]) -> list[Panel]:
    """A panel a type: the geometric mean of `speedups` over all shapes that have all tokens."""
    panels = speedups(document)
    types = list(dict.fromkeys(panel.title.partition(",")[0] for panel in panels))
    return [_mean(name, [p for p in panels if p.title.startswith(f"{name},")]) for name in types]


def per_watt(document: Mapping[str, Any]) -> list[Panel]:
    """A panel a type and shape: work for a joule, of the fastest dense 1, by tokens or batch."""
    measured = [r for r in linear(document) if any("energy" in v for v in r["variants"].values())]
    return [panel for panel in _panels(measured, _per_watt) if len(panel.lines) > 0]


def heat_maps(document: Mapping[str, Any]) -> list[HeatMap]:
    """One a type, of more than one layer."""
    maps = []
    records = [r for r in linear(document) if r["suite"] != "square" and "batch" not in r]
    for name in dict.fromkeys(record["type"] for record in records):
        chosen = [record for record in records if record["type"] == name]
        rows = list(dict.fromkeys(map(shape, chosen)))
        columns = sorted({record["tokens"] for record in chosen})
        values: list[list[float | None]] = [[None] * len(columns) for _ in rows]
        for record in chosen:
            speedup = record["variants"].get(OURS, {}).get("speedup")
            if speedup is not None:
                at = rows.index(shape(record)), columns.index(record["tokens"])
                values[at[0]][at[1]] = speedup["median"]
        if any(value is not None for row in values for value in row):
            maps.append(HeatMap(name, rows, columns, values))
    return maps


def rooflines(document: Mapping[str, Any]) -> list[Roofline]:
    """One a type, where bandwidth was measured."""
    measured = [r for r in document["records"] if r["record"] == "bandwidth"]
    rates = [v["gb_per_s"] for r in measured for v in r["variants"].values() if "gb_per_s" in v]
    if not rates:
        return []
    found = []
    records = linear(document)
    for name in dict.fromkeys(record["type"] for record in records):
        chosen = [record for record in records if record["type"] == name]
        points = []
        for record in chosen:
            ours = record["variants"].get(OURS, {})
            if "dense_equiv_tflops" in ours:
                flops = 2 * record["m"] * record["k"] * record["tokens"]
                intensity = flops / ours["weight_bytes"]
                points.append((intensity, ours["dense_equiv_tflops"] * 1e12))
        if points:
            found.append(Roofline(name, max(rates) * 1e9, _roofs(chosen), points))
    return found


def _roofs(records: Sequence[Record]) -> dict[str, float]:
    """The fastest dense rate that was measured, and the sparse peak where it is known."""
    dense = [
        variant["dense_equiv_tflops"] * 1e12
        for record in records
        for variant in record["variants"].values()
        if variant["role"] == "dense" and "dense_equiv_tflops" in variant
    ]
    roofs = {"fastest dense measured": max(dense)} if dense else {}
    peaks = [
        variant["dense_equiv_tflops"] * 1e14 / variant["percent_of_sparse_peak"]
        for record in records
        for variant in record["variants"].values()
        if "percent_of_sparse_peak" in variant
    ]
    return roofs | ({"sparse peak at the sampled clock": max(peaks)} if peaks else {})


def _speedup(variant: Record) -> Mapping[str, float] | None:
    found: Mapping[str, float] | None = variant.get("speedup")
    return found


def _per_watt(variant: Record) -> Mapping[str, float] | None:
    value = variant.get("energy", {}).get("per_watt_over_dense")
    return None if value is None else {"median": value, "p10": value, "p90": value}


def _panels(records: Iterable[Record], figure: Any) -> list[Panel]:
    """Sorted by tokens; dense ways are the line at 1 and not drawn apart."""
    panels: dict[tuple[str, str], Panel] = {}
    for record in sorted(records, key=lambda record: record["tokens"]):
        key = (record["type"], shape(record))
        label = "batch" if "batch" in record else "tokens"
        panel = panels.setdefault(key, Panel(f"{key[0]}, {key[1]}", label, {}))
        for name, variant in record["variants"].items():
            spread = figure(variant)
            if spread is None or variant["role"] == "dense":
                continue
            point = Point(record[label], spread["median"], spread["p10"], spread["p90"])
            panel.lines.setdefault(name, []).append(point)
    return [panels[key] for key in panels]


def _mean(name: str, panels: Sequence[Panel]) -> Panel:
    common = set.intersection(*({p.x for p in panel.lines.get(OURS, [])} for panel in panels))
    lines: dict[str, list[Point]] = {}
    for way in dict.fromkeys(way for panel in panels for way in panel.lines):
        for x in sorted(common):
            found = [p for panel in panels for p in panel.lines.get(way, []) if p.x == x]
            if len(found) == len(panels):
                point = Point(x, *(_geometric_mean([p[i] for p in found]) for i in (1, 2, 3)))
                lines.setdefault(way, []).append(point)
    layers = "1 layer" if len(panels) == 1 else f"mean of {len(panels)} layers"
    return Panel(f"{name}, {layers}", "tokens", lines)


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
