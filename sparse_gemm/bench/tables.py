"""Records as lines of text: while they are measured, and all together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sparse_gemm.bench.names import OURS

Record = Mapping[str, Any]


def duration(spread: Mapping[str, float] | None) -> str:
    """The median: "6.78 us"."""
    if spread is None:
        return "-"
    seconds = spread["median"]
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def label(record: Record) -> str:
    """What was measured: "linear 4096x4096 float16, 16 tokens"."""
    shape = f" {record['m']}x{record['k']}" if record["m"] else ""
    kind = f" {record['type']}" if shape else ""
    tokens = f", {record['tokens']} token{'s' * (record['tokens'] > 1)}" if record["tokens"] else ""
    return f"{record['record']}{shape}{kind}{tokens}"


def cell(variant: Mapping[str, Any]) -> str:
    """The time of a way, or why there is none, in a word."""
    for word in ("error", "absent"):
        if word in variant:
            return word
    return "left out" if "left_out" in variant else duration(variant.get("seconds"))


def line(record: Record) -> str:
    """A record in a line, as the live table has it."""
    for word in ("error", "absent"):
        if word in record:
            return f"{label(record)}: {word}: {record[word]}"
    parts = []
    for name, variant in record["variants"].items():
        text = f"{name} {cell(variant)}"
        if speedup := variant.get("speedup"):
            text += f" ({speedup['median']:.2f}x)" if name != record["baseline"] else " (1x)"
        if "gb_per_s" in variant and record["record"] in ("bandwidth", "compress"):
            text += f" {variant['gb_per_s']:.3g} GB/s"
        parts.append(text)
    return f"{label(record)}: {', '.join(parts)}"


def tables(records: Sequence[Record]) -> str:
    """One table for each kind of record, and then every reason for a missing figure, once."""
    groups = itertools.groupby(records, key=lambda record: record["record"])
    texts = [_table(kind, list(found)) for kind, found in groups]
    return "\n\n".join([text for text in texts if text] + reasons(records))


def reasons(records: Sequence[Record]) -> list[str]:
    """What is absent or went wrong, and why."""
    found: dict[str, None] = {}
    for record in records:
        for word in ("error", "absent"):
            if word in record:
                found[f"{label(record)}: {word}: {record[word]}"] = None
            for name, variant in record.get("variants", {}).items():
                if word in variant:
                    found[f"{name}, {record.get('type')}: {word}: {variant[word]}"] = None
        if "energy_absent" in record:
            found[f"energy: {record['energy_absent']}"] = None
    return ["\n".join(found)] if found else []


def _table(kind: str, records: Sequence[Record]) -> str:
    timed = [record for record in records if record.get("variants")]
    if not timed:
        return ""
    names = list(dict.fromkeys(name for record in timed for name in record["variants"]))
    rows = [(kind, *names, "over dense", "")]
    for record in timed:
        ours = record["variants"].get(OURS, {})
        cells = (
            cell(record["variants"][name]) if name in record["variants"] else "" for name in names
        )
        rows.append((label(record).partition(" ")[2], *cells, _ratio(ours), figures(record)))
    return "\n".join(aligned(rows))


def _ratio(variant: Mapping[str, Any]) -> str:
    speedup = variant.get("speedup")
    if speedup is None:
        return "-"
    return f"{speedup['median']:.2f} ({speedup['p10']:.2f} to {speedup['p90']:.2f})"


def figures(record: Record) -> str:
    """What else there is to say of our own time."""
    ours = record["variants"].get(OURS) or {}
    texts = []
    if "dense_equiv_tflops" in ours:
        texts.append(f"{ours['dense_equiv_tflops']:.3g} TFLOPS")
    if "gb_per_s" in ours and record["record"] != "call":
        texts.append(f"{ours['gb_per_s']:.3g} GB/s")
    if "percent_of_sparse_peak" in ours:
        texts.append(f"{ours['percent_of_sparse_peak']:.0f} % of peak")
    if "call_seconds" in ours:
        texts.append(f"call {duration(ours['call_seconds'])}")
    if "energy" in ours:
        texts.append(f"{ours['energy'].get('per_watt_over_dense', float('nan')):.2f}x per watt")
    return ", ".join(texts)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column and the last to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *rest, last in rows:
        cells = [text.rjust(width) for text, width in zip(rest, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, last]).rstrip())
    return lines
