"""Figures with matplotlib: small ones, so that a page can lay them out for its width."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from sparse_gemm.bench.names import OURS
from sparse_gemm.bench.series import HeatMap, Panel, Roofline

# Told apart by people who do not see all colours, and by their markers in print (Okabe and Ito).
_STYLES = {
    OURS: ("#0072b2", "o"),
    "cuSPARSELt": ("#d55e00", "s"),
    "CUTLASS": ("#009e73", "^"),
    "torchao": ("#cc79a7", "D"),
}
_OTHERS = (("#0072b2", "o"), ("#e69f00", "v"), ("#56b4e9", "P"), ("#f0e442", "X"))
_GREY = "#666666"
_HEADROOM = 1.25
_SIZE = (4.2, 3.1)  # inches
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sparse_gemm",  # the same figure, the same bytes
    "font.family": ["sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def save(figure: Figure, form: str, description: str = "") -> bytes:
    """As "svg" or "png"; a description is for programs that read it."""
    out = io.BytesIO()
    with mpl.rc_context(_STYLE):
        metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}
        if description:
            metadata["Description"] = description
        figure.savefig(out, format=form, metadata=metadata, dpi=160)
    return out.getvalue()


def speedup(panel: Panel, y_label: str = "speed over the fastest dense") -> Figure:
    """Lines over tokens; the shade is from the 10th to the 90th percentile."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        _draw_panel(figure.add_subplot(), panel, y_label)
    return figure


def overview(panels: Sequence[Panel], title: str) -> Figure:
    """All panels in one figure, two beside each other, with one scale."""
    rows = max(1, math.ceil(len(panels) / 2))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 0.4 + 2.7 * rows), layout="constrained")
        figure.suptitle(title, fontsize=11)
        axes = figure.subplots(rows, 2, squeeze=False, sharey=True)
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(ax, panel, "speed over the fastest dense")
        for ax in list(axes.flat)[len(panels) :]:
            ax.set_axis_off()
    return figure


def _draw_panel(ax: Axes, panel: Panel, y_label: str) -> None:
    ax.axhline(1, color=_GREY, linewidth=1)
    others = itertools.cycle(_OTHERS)
    for name, points in panel.lines.items():
        colour, marker = _STYLES.get(name) or next(others)
        x = [point.x for point in points]
        ax.fill_between(
            x, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.18, lw=0
        )
        ax.plot(x, [p.y for p in points], color=colour, marker=marker, markersize=4, label=name)
    ax.set_title(panel.title, loc="left")
    ax.set_xlabel(panel.x_label)
    ax.set_ylabel(y_label)
    ax.set_xscale("log", base=2)
    every = sorted({point.x for points in panel.lines.values() for point in points})
    ax.set_xticks(every, [_count(x) for x in every])
    ax.xaxis.set_minor_locator(NullLocator())
    # Outliers of a busy machine may run out of the picture; medians may not.
    most = max([1.0, *(point.y for points in panel.lines.values() for point in points)])
    ax.set_ylim(0, _HEADROOM * most)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    if len(panel.lines) > 1:
        ax.legend()


def roofline(roof: Roofline) -> Figure:
    """Points below the bandwidth that was measured and the rates that are known."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        ax = figure.add_subplot()
        x, y = zip(*roof.points, strict=True)
        low, high = min(x) / 2, max(x) * 2
        top = max([*roof.roofs.values(), *y])
        knee = min(high, 1.5 * top / roof.bandwidth)
        ax.plot(
            [low, knee],
            [low * roof.bandwidth / 1e12, knee * roof.bandwidth / 1e12],
            color=_GREY,
            label=f"{roof.bandwidth / 1e9:.3g} GB/s, measured",
        )
        for (name, rate), dashes in zip(roof.roofs.items(), ("--", ":"), strict=False):
            label = f"{rate / 1e12:.3g} TFLOPS, {name}"
            ax.axhline(rate / 1e12, color=_GREY, linestyle=dashes, linewidth=1, label=label)
        colour, marker = _STYLES[OURS]
        ax.plot(x, [rate / 1e12 for rate in y], marker, color=colour, markersize=4, label=OURS)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(low, high)
        ax.set_xlabel("dense operations a byte of compressed weight")
        ax.set_ylabel("dense-equivalent TFLOPS")
        ax.set_title(roof.title, loc="left")
        ax.grid(color="#eeeeee", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.legend(loc="lower right", fontsize=7)
    return figure


def heat_map(of: HeatMap) -> Figure:
    """Blue where ours is faster, orange where it is slower; the number in every cell."""
    height = 1.1 + 0.27 * len(of.rows)
    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(1.6 + 0.46 * max(len(of.columns), 5), height), layout="constrained"
        )
        ax = figure.add_subplot()
        logs = [[math.nan if v is None else math.log2(v) for v in row] for row in of.values]
        ax.imshow(logs, cmap="PuOr", vmin=-1.5, vmax=1.5, aspect="auto")
        for y, row in enumerate(of.values):
            for x, value in enumerate(row):
                if value is not None:
                    strong = abs(math.log2(value)) > 1.0
                    colour = "white" if strong else "black"
                    ax.text(x, y, f"{value:.2f}", ha="center", va="center", color=colour, size=7.5)
        ax.set_xticks(range(len(of.columns)), [_count(n) for n in of.columns])
        ax.set_yticks(range(len(of.rows)), of.rows)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("tokens")
        ax.set_title(f"{of.title}: speed over the fastest dense", loc="left")
    return figure


def _count(number: float) -> str:
    """4096 as "4k", to leave room."""
    whole = int(number)
    return f"{whole // 1024}k" if whole >= 1024 and whole % 1024 == 0 else str(whole)
