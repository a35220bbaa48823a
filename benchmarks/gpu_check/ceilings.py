"""What follows from the records of benchmarks/ceilings: rates, and percent of the device's peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.gpu_check.runner import Record
from sparse_gemm.bench.peaks import peak_flops_per_clk
from sparse_gemm.bench.timing import Spread


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile."""
    return asdict(Spread.of(values))


def finish_copy(record: Record) -> Record:
    """Adds gb_per_s."""
    raw: list[float] = record["seconds"]
    gigabytes = record["bytes_per_iteration"] * record["iterations"] / 1e9
    return _summarised(record) | {"gb_per_s": spread([gigabytes / seconds for seconds in raw])}


def finish_mma(record: Record, capability: str, name: str) -> Record:
    """Adds rates: `record` is of mma.cu or wgmma.cu, with raw seconds and clk of each launch.

    clk_per_instruction is of an SM, from its own cycle counter, so percent_of_peak is that of the
    very clock it ran at; percent_of_peak_at_sampled_clock takes TFLOPS and NVML's clock instead.
    """
    seconds: list[float] = record["seconds"]
    clk: list[float] = record["clk"]
    flops_each = record["dense_equiv_flops_per_instruction"]
    of_sm = record["iterations"] * record["instructions_per_iteration"]
    clk_each = spread([launch / of_sm for launch in clk])
    flops = of_sm * record["sms"] * flops_each
    tflops = spread([flops / launch / 1e12 for launch in seconds])
    figures: dict[str, Any] = {
        "dense_equiv_tflops": tflops,
        "clk_per_instruction": clk_each,
        "mhz_from_clk": spread([a / b / 1e6 for a, b in zip(clk, seconds, strict=True)])["median"],
    }
    peak = peak_flops_per_clk(capability, name, record["dtype"], bool(record["sparse"]))
    if peak is not None:
        figures["percent_of_peak"] = 100 * flops_each / clk_each["median"] / peak
        clocks = record.get("clocks")
        if clocks:
            at_clock = peak * record["sms"] * clocks["sm_mhz"] / 1e6
            figures["percent_of_peak_at_sampled_clock"] = 100 * tflops["median"] / at_clock
    filled = record.get("filled_bytes")
    if "filled_bytes_per_iteration" in record:
        filled = record["filled_bytes_per_iteration"] * record["iterations"]
    if filled is not None:
        figures["filled_bytes_per_clk"] = filled / spread(clk)["median"]
    return _summarised(record) | figures


def _summarised(record: Record) -> Record:
    """Raw lists become their spreads."""
    lists = {key: value for key, value in record.items() if isinstance(value, list)}
    spreads = {key: spread(value) for key, value in lists.items()}
    return record | spreads | {"launches": len(record["seconds"])}
