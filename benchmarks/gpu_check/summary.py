"""The results of a run as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.gpu_check.runner import Record

Row = Sequence[str]


def summarise(document: Record) -> str:
    """Device, stages with the messages of what failed, then a table a kind of record."""
    device, software = document["device"], document["software"]
    lines = [
        f"{device['name']}, sm_{device['compute_capability'].replace('.', '')}, "
        f"driver {device['driver']}, nvcc {software['nvcc']}, torch {software['torch']}, "
        f"commit {document['commit']}",
        "",
    ]
    for stage in document["stages"]:
        lines.append(f"{stage['name']:<10} {stage['status']} ({stage.get('seconds', 0):.0f} s)")
        for command in stage["commands"]:
            if command["status"] != "ok":
                message = str(command.get("message", "")).replace("\n", "\n      ")
                lines.append(f"    {command['name']}: {command['status']}: {message}")
    records = [record for stage in document["stages"] for record in stage["records"]]
    for title, kind, make_rows in (
        ("linear", "linear", _linear_rows),
        ("bandwidth", "copy", _copy_rows),
        ("mma, A and B in registers", "mma", _mma_rows),
        ("wgmma", "wgmma", _wgmma_rows),
    ):
        chosen = [record for record in records if record["record"] == kind]
        if chosen:
            lines += ["", title, *_table(make_rows(chosen))]
    lines += _variant_errors(records)
    lines += [f"{record['record']}: {record['error']}" for record in records if "error" in record]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _linear_rows(records: Sequence[Record]) -> list[Row]:
    names = list(dict.fromkeys(name for record in records for name in record["variants"]))
    rows: list[Row] = [
        (
            "shape",
            "dtype",
            "tokens",
            *(f"{n} us" for n in names),
            "TFLOPS",
            "GB/s",
            "over dense",
            "over cuSPARSELt",
        )
    ]
    for record in records:
        ours = record["variants"].get("sparse_gemm", {})
        ratios = record["ratios"]
        rows.append(
            (
                f"{record['m']}x{record['k']}",
                record["dtype"],
                str(record["tokens"]),
                *(_microseconds(record["variants"].get(name, {})) for name in names),
                _number(ours.get("dense_equiv_tflops")),
                _number(ours.get("gb_per_s")),
                _number(_median(ratios.get("torch dense")), 2),
                _number(_median(ratios.get("cuSPARSELt")), 2),
            )
        )
    return rows


def _variant_errors(records: Sequence[Record]) -> list[str]:
    """Each reason for an empty cell of the table of `linear`, once."""
    reasons: dict[str, None] = {}
    for record in records:
        for name, variant in record.get("variants", {}).items():
            if "error" in variant:
                reasons[f"  {name}: {variant['error']}"] = None
    return list(reasons)


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


def _microseconds(variant: Record) -> str:
    if "error" in variant:
        return "absent" if variant.get("absent") else "error"
    median = _median(variant.get("seconds"))
    return _number(None if median is None else median * 1e6)
