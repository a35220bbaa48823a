"""The CPU backend against torch: compress, linear and the cost of a call. See README.md.

python -m benchmarks.cpu [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.sparse import _semi_structured_conversions
from tqdm import tqdm  # type: ignore[import-untyped]

import sparse_gemm as sg
from benchmarks import machine, overhead
from benchmarks.report import Result, tables, write_json
from benchmarks.timing import Budget, Timings, take_turns

TOKENS = (1, 16, 1024)
ACCUMULATION_ERROR = 1e-5  # of float32 sums this long, relative to the largest result
FLOAT_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much to measure.

    Attributes:
        features: rows and columns of the weight.
        rotated_bytes: the dense copies of a weight take at least this much, so that a call finds
            none of it in a cache.
        seconds, min_rounds, max_rounds: the budget of a comparison.
    """

    features: int = 4096
    rotated_bytes: int = 2**29
    seconds: float = 6.0
    min_rounds: int = 5
    max_rounds: int = 100
    quick: bool = False

    @property
    def budget(self) -> Budget:
        """The last three."""
        return Budget(self.seconds, self.min_rounds, self.max_rounds)


# Shows in seconds that everything runs; its figures are worth nothing.
QUICK = Settings(512, rotated_bytes=2**22, seconds=0.1, min_rounds=3, max_rounds=5, quick=True)


class Weights:
    """One 2:4 weight of `dtype`, N(0, 1) (int8: all values), in many copies, dense and compressed.

    A call that takes the copy of its round reads weights that were last touched long ago.
    """

    def __init__(self, dtype: torch.dtype, settings: Settings) -> None:
        """Draws, prunes, compresses and copies."""
        self.dtype = dtype
        self.features = settings.features
        self.unpruned = self.draw(self.features)
        pruned = sg.prune(self.unpruned)
        copies = max(2, -(-settings.rotated_bytes // pruned.nbytes))
        self.dense = [pruned.clone() for _ in range(copies)]
        self.compressed = [sg.compress(pruned) for _ in range(copies)]

    def draw(self, rows: int) -> Tensor:
        """Random [rows, features]."""
        generator = torch.Generator().manual_seed(rows)
        shape = (rows, self.features)
        if self.dtype is torch.int8:
            return torch.randint(-128, 128, shape, generator=generator, dtype=torch.int8)
        return torch.randn(shape, generator=generator).to(self.dtype)

    @property
    def dtype_name(self) -> str:
        """Such as "bfloat16"."""
        return str(self.dtype).removeprefix("torch.")


def bench_compress(weights: Weights, budget: Budget) -> Iterator[Result]:
    """compress, and prune + compress in one pass, against torch's converter and against memcpy."""
    dense = weights.dense
    target = torch.empty_like(dense[0])
    convert: Any = _semi_structured_conversions.sparse_semi_structured_from_dense_cutlass
    unpruned = [weights.unpruned.clone() for _ in dense]
    ours, pruning = "compress", "compress(policy=prune)"
    copying, converting = "memcpy", "torch's semi-structured converter"
    timings = take_turns(
        {
            ours: lambda i: sg.compress(dense[i % len(dense)]),
            pruning: lambda i: sg.compress(unpruned[i % len(dense)], policy="prune"),
            copying: lambda i: target.copy_(dense[i % len(dense)]),
            converting: lambda i: convert(dense[i % len(dense)]),
        },
        budget,
    )
    # Bytes read and written: by memcpy all of them twice.
    moved = dense[0].nbytes + weights.compressed[0].nbytes
    copied = 2 * dense[0].nbytes
    memcpy_gb_per_s = copied / timings.of(copying).median / 1e9
    for variant in (ours, pruning):
        pair = Timings({name: timings.seconds[name] for name in (variant, converting)})
        gb_per_s = moved / timings.of(variant).median / 1e9
        percent = 100 * gb_per_s / memcpy_gb_per_s
        figures = {"gb_per_s": gb_per_s, "percent_of_memcpy": percent}
        extents = (weights.features, 0, weights.features)
        result = Result.of("compress", weights.dtype_name, extents, pair)
        yield dataclasses.replace(result, figures=figures)


def bench_linear(weights: Weights, tokens: int, budget: Budget) -> Result:
    """Linear against torch's dense one with the same weights; int8 against torch._int_mm."""
    x = weights.draw(tokens)
    dense, compressed = weights.dense, weights.compressed
    is_int8 = weights.dtype is torch.int8
    baseline = "torch._int_mm" if is_int8 else "torch.nn.functional.linear"

    def run_ours(round_idx: int) -> Tensor:
        y: Tensor = sg.linear(x, compressed[round_idx % len(compressed)])
        return y

    def run_baseline(round_idx: int) -> Tensor:
        w = dense[round_idx % len(dense)]
        return torch._int_mm(x, w.t()) if is_int8 else functional.linear(x, w)

    _require_equal(run_ours(0), run_baseline(0))
    timings = take_turns({"linear": run_ours, baseline: run_baseline}, budget)
    extents = (weights.features, tokens, weights.features)
    result = Result.of("linear", weights.dtype_name, extents, timings)
    flops = 2 * weights.features * weights.features * tokens
    figures = {"dense_equiv_gflops": flops / result.seconds.median / 1e9}
    return dataclasses.replace(result, figures=figures)


def _require_equal(y: Tensor, expected: Tensor) -> None:
    """Nothing is timed that computes something else; floating-point sums may round differently."""
    atol = 0.0
    if y.dtype.is_floating_point:
        error = max(4 * torch.finfo(y.dtype).eps, ACCUMULATION_ERROR)
        atol = error * float(expected.abs().max())
    torch.testing.assert_close(y, expected, rtol=0.0, atol=atol)


def run(settings: Settings) -> Iterator[Result]:
    """All comparisons, one by one."""
    yield from overhead.run(settings.quick)
    for dtype in (*FLOAT_DTYPES, torch.int8):
        weights = Weights(dtype, settings)
        if dtype is torch.bfloat16:
            yield from bench_compress(weights, settings.budget)
        for tokens in TOKENS:
            yield bench_linear(weights, tokens, settings.budget)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs, measure nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    options = parser.parse_args(arguments)
    settings = QUICK if options.quick else Settings()

    num_results = 2 + 2 + len(TOKENS) * (len(FLOAT_DTYPES) + 1)
    bar = tqdm(run(settings), total=num_results, leave=False, disable=None)
    with torch.inference_mode():
        results = list(bar)
    print(machine.summary(machine.describe()))
    print("times and ratios: median (10th to 90th percentile); ratio = baseline's time / ours")
    print()
    print(tables(results))
    if options.json is not None:
        write_json(options.json, results, dataclasses.asdict(settings))


if __name__ == "__main__":
    main()
