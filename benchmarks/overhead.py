"""What a call costs when there is next to nothing to compute: a 64x64 layer and one token."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch.nn import functional

import sparse_gemm as sg
from benchmarks.report import Result
from benchmarks.timing import Budget, Timings, Variant, take_turns

FEATURES = 64
CALLS = 1000  # a sample is then some milliseconds long
BUDGET = Budget(seconds=3.0, min_rounds=20, max_rounds=200)
QUICK_BUDGET = Budget(seconds=0.2, min_rounds=3, max_rounds=10)


def run(quick: bool) -> Iterator[Result]:
    """sg.linear against F.linear, and SparseLinear against nn.Linear, both with a bias."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(FEATURES, FEATURES)
    linear.weight.data = sg.prune(linear.weight.data)
    layer = sg.SparseLinear.from_linear(linear)
    weight, bias, a = linear.weight.detach(), linear.bias.detach(), layer.compressed
    x = torch.randn(1, FEATURES)
    comparisons: list[dict[str, Variant]] = [
        {
            "sparse_gemm.linear": lambda _: sg.linear(x, a, bias),
            "torch.nn.functional.linear": lambda _: functional.linear(x, weight, bias),
        },
        {
            "sparse_gemm.SparseLinear": lambda _: layer(x),
            "torch.nn.Linear": lambda _: linear(x),
        },
    ]
    for variants in comparisons:
        with torch.inference_mode():
            timings = take_turns(variants, QUICK_BUDGET if quick else BUDGET, calls=CALLS)
        result = Result.of("call", "float32", (FEATURES, 1, FEATURES), timings)
        yield dataclasses.replace(result, figures={"times_baseline": _slowdown(timings)})


def _slowdown(timings: Timings) -> float:
    ours, baseline = timings.seconds
    return timings.ratio(ours, baseline).median
