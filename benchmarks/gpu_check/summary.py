"""The results of a run as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.gpu_check.runner import Record
from sparse_gemm.bench import tables

Row = Sequence[str]


def summarise(document: Record) -> str:
    """Device, stages with the messages of what failed, then a table a kind of record."""
    device, software = document["device"], document["software"]
    capability = str(device["compute_capability"]).replace(".", "")
    lines = [
        f"{device['name']}, sm_{capability}, driver {device['driver']}, nvcc {software['nvcc']}, "
        f"torch {software['torch']}, commit {document['commit']}",
    ]
    if document.get("meaningless"):
        lines.append(f"NO TIME BELOW MEANS ANYTHING: {document['meaningless']}")
    lines.append("")
    for stage in document["stages"]:
        lines.append(f"{stage['name']:<12} {stage['status']} ({stage.get('seconds', 0):.0f} s)")
        for command in stage["commands"]:
            if command["status"] != "ok":
                message = str(command.get("message", "")).replace("\n", "\n      ")
                lines.append(f"    {command['name']}: {command['status']}: {message}")
    records = document["records"]
    measured = [record for record in records if "variants" in record]
    if measured:
        lines += ["", tables.tables(measured)]
    for title, kind, make_rows in (
        ("bandwidth", "copy", _copy_rows),
        ("mma, A and B in registers", "mma", _mma_rows),
        ("wgmma", "wgmma", _wgmma_rows),
    ):
        chosen = [record for record in records if record["record"] == kind]
        if chosen:
            lines += ["", title, *_table(make_rows(chosen))]
    others = [record for record in records if "error" in record and "variants" not in record]
    lines += [f"{record['record']}: {record['error']}" for record in others]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _copy_rows(records: Sequence[Record]) -> list[Row]:
    return [("case", "GB/s"), *((r["case"], _number(_median(r.get("gb_per_s")))) for r in records)]


def _rate_cells(record: Record) -> Row:
    clocks = record.get("clocks") or {}
    return (
        _number(_median(record.get("dense_equiv_tflops"))),
        _number(record.get("percent_of_peak")),
        _number(_median(record.get("clk_per_instruction")), 2),
        _number(record.get("mhz_from_clk"), 0),
        _number(clocks.get("watts"), 0),
    )


RATE_TITLES = ("TFLOPS", "% peak", "clk/instr/SM", "MHz", "W")


def _mma_rows(records: Sequence[Record]) -> list[Row]:
    rows: list[Row] = [("instruction", "dtype", "warps", *RATE_TITLES)]
    for r in records:
        rows.append((r["instruction"], r["dtype"], f"{r['warps']:.0f}", *_rate_cells(r)))
    return rows


def _wgmma_rows(records: Sequence[Record]) -> list[Row]:
    rows: list[Row] = [
        ("instruction", "dtype", "A from", "tile", "fills", "cluster", "B/clk", *RATE_TITLES)
    ]
    for r in records:
        tile = f"{r['tile_m']:.0f}x{r['tile_n']:.0f}"
        filled = _number(r.get("filled_bytes_per_clk"))
        where = (r["a_from"], tile, r["fills"], f"{r['cluster']:.0f}", filled)
        rows.append((r["instruction"], r["dtype"], *where, *_rate_cells(r)))
    return rows


def _median(spread: Any) -> float | None:
    return spread["median"] if isinstance(spread, dict) else None


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
