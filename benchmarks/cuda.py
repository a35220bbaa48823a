"""`linear` on an NVIDIA GPU against torch: dense, and torch's cuSPARSELt. See README.md.

python -m benchmarks.cuda [--records]     (--records: a line of JSON a case, for gpu-check)
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import sparse_gemm as sg
from benchmarks.timing import Budget, Spread, Timings

SHAPES = ((4096, 4096), (14336, 4096))  # out_features, in_features
TOKENS = (1, 16, 256, 4096)
DTYPES = (torch.float16, torch.bfloat16)
BUDGET = Budget(seconds=2.0, min_rounds=20, max_rounds=200)
OURS, DENSE, CUSPARSELT = "sparse_gemm", "torch dense", "cuSPARSELt"
FLUSHED_OVER_L2 = 4  # bytes read to flush L2, over its size
WARM_UP_CALLS = 3
# Of a result, relative to that in float32; rounding the result alone gives about 0.3 eps.
TOLERATED_EPS = 2.0

Run = Callable[[], Tensor]


class WrongResultError(RuntimeError):
    """A variant computes something else."""


@dataclasses.dataclass
class Variant:
    """A way to compute y = x @ w.T, captured in a CUDA graph if it can be.

    Attributes:
        replay: computes it anew.
        y: where the result of the last replay is, in a list since an eager call makes a new one.
        mode: "graph" or "eager", with the reason.
        weight_bytes: what it reads of the weight.
    """

    replay: Callable[[], None]
    y: list[Tensor]
    mode: str
    weight_bytes: int

    @classmethod
    def of(cls, run: Run, weight_bytes: int) -> Variant:
        """Warms up and captures."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                y = [run()]
            return cls(graph.replay, y, "graph", weight_bytes)
        except RuntimeError as error:
            torch.cuda.synchronize()
            reason = str(error).splitlines()[0]
        return cls.eager(run, weight_bytes, f"eager (no graph: {reason})")

    @classmethod
    def eager(cls, run: Run, weight_bytes: int, mode: str) -> Variant:
        """One that Python launches each time."""
        y = [run()]

        def replay() -> None:
            y[0] = run()

        return cls(replay, y, mode, weight_bytes)

    def check(self, expected: Tensor) -> float:
        """The relative error of a fresh result; WrongResultError if it is too large."""
        self.y[0].fill_(float("nan"))
        self.replay()
        return self.check_last(expected)

    def check_last(self, expected: Tensor) -> float:
        """The same of the result that is there."""
        y = self.y[0].float()
        error = float((y - expected).norm() / expected.norm())
        limit = TOLERATED_EPS * torch.finfo(self.y[0].dtype).eps
        if not error <= limit:
            raise WrongResultError(f"relative error {error:.2e}, tolerated {limit:.2e}")
        return error


class Flush:
    """Reads enough to push everything else out of L2; written lines would be written back later."""

    def __init__(self) -> None:
        """Allocates it."""
        l2_bytes = torch.cuda.get_device_properties(0).L2_cache_size
        self._filler = torch.zeros(FLUSHED_OVER_L2 * l2_bytes // 4, device="cuda")

    def __call__(self) -> None:
        """Takes longer than Python takes to launch what comes next, which so has not to wait."""
        self._filler.sum()


def make_variants(w: Tensor, x: Tensor) -> dict[str, Callable[[], Variant]]:
    """What to time; `w` is 2:4. Making a variant may fail where a library is absent."""

    def ours() -> Variant:
        a = sg.compress(w)
        return Variant.of(lambda: sg.linear(x, a), a.nbytes)

    def dense() -> Variant:
        return Variant.of(lambda: functional.linear(x, w), w.nbytes)

    def cusparselt() -> Variant:
        if not torch.backends.cusparselt.is_available():
            raise ImportError("this torch was built without cuSPARSELt")
        a: Any = torch.sparse.SparseSemiStructuredTensorCUSPARSELT.from_dense(w)
        return Variant.of(lambda: functional.linear(x, a), a.packed.nbytes)

    return {OURS: ours, DENSE: dense, CUSPARSELT: cusparselt}


def time_once(run: Callable[[], None]) -> float:
    """Seconds on the device, between two events."""
    event: Any = torch.cuda.Event
    begin, end = event(enable_timing=True), event(enable_timing=True)
    begin.record()
    run()
    end.record()
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds / 1e3


def take_turns(variants: dict[str, Variant], flush: Callable[[], None], budget: Budget) -> Timings:
    """Times each variant once a round, in an order that moves on, each after a flush of L2."""
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    if not names:
        return Timings(seconds)
    started = time.perf_counter()
    for round_idx in range(budget.max_rounds):
        if round_idx >= budget.min_rounds and time.perf_counter() - started > budget.seconds:
            break
        first = round_idx % len(names)
        for name in names[first:] + names[:first]:
            flush()
            seconds[name].append(time_once(variants[name].replay))
    return Timings(seconds)


def bench_case(w: Tensor, tokens: int, flush: Callable[[], None], budget: Budget) -> dict[str, Any]:
    """One record: every variant's times, or why there are none."""
    m, k = w.shape
    x = torch.randn(tokens, k, device=w.device).to(w.dtype)
    expected = functional.linear(x.float(), w.float())
    results: dict[str, dict[str, Any]] = {}
    variants: dict[str, Variant] = {}
    for name, make in make_variants(w, x).items():
        try:
            variant = make()
            results[name] = {"mode": variant.mode, "relative_error": variant.check(expected)}
            variants[name] = variant
        except Exception as error:  # whatever one variant raises, the others are timed
            results[name] = _failure(error)
    begin = time.monotonic()
    timings = take_turns(variants, flush, budget)
    end = time.monotonic()
    for name, variant in variants.items():
        spread = timings.of(name)
        results[name]["seconds"] = dataclasses.asdict(spread)
        results[name]["dense_equiv_tflops"] = 2 * m * tokens * k / spread.median / 1e12
        results[name]["weight_bytes"] = variant.weight_bytes
        results[name]["gb_per_s"] = variant.weight_bytes / spread.median / 1e9
        try:
            variant.check_last(expected)
        except WrongResultError as error:
            results[name] |= _failure(error)
    return {
        "record": "linear",
        "dtype": str(w.dtype).removeprefix("torch."),
        "m": m,
        "k": k,
        "tokens": tokens,
        "begin": begin,
        "end": end,
        "rounds": timings.rounds if variants else 0,
        "variants": results,
        "ratios": _ratios(timings),
    }


def _failure(error: Exception) -> dict[str, Any]:
    absent = isinstance(error, (ImportError, AttributeError))
    return {"error": f"{type(error).__name__}: {error}", "absent": absent}


def _ratios(timings: Timings) -> dict[str, dict[str, float]]:
    """The baselines' times over ours, round by round: above 1, ours is faster."""
    if OURS not in timings.seconds:
        return {}
    others = [name for name in timings.seconds if name != OURS]
    return {name: dataclasses.asdict(timings.ratio(name, OURS)) for name in others}


def run(budget: Budget = BUDGET) -> Iterator[dict[str, Any]]:
    """All cases."""
    torch.manual_seed(0)
    flush = Flush()
    yield {
        "record": "torch",
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cusparselt": torch.backends.cusparselt.version(),
        "sms": torch.cuda.get_device_properties(0).multi_processor_count,
        "l2_bytes": torch.cuda.get_device_properties(0).L2_cache_size,
    }
    for m, k in SHAPES:
        for dtype in DTYPES:
            w = sg.prune(torch.randn(m, k, device="cuda").to(dtype))
            for tokens in TOKENS:
                yield bench_case(w, tokens, flush, budget)


def describe(record: dict[str, Any]) -> str:
    """A case in a line."""
    times = []
    for name, result in record["variants"].items():
        if "error" in result:
            times.append(f"{name}: {result['error']}")
        else:
            spread = Spread(**result["seconds"])
            times.append(f"{name} {spread.median * 1e6:.1f} us")
    case = f"{record['m']}x{record['k']} {record['dtype']}, {record['tokens']} tokens"
    return f"{case}: {', '.join(times)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints as it goes; 1 if a result of ours or of torch's dense one is wrong or missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", action="store_true", help="print lines of JSON")
    options = parser.parse_args(arguments)
    failed = False
    with torch.no_grad():
        for record in run():
            is_case = record["record"] == "linear"
            failed |= is_case and any("error" in record["variants"][name] for name in (OURS, DENSE))
            if options.records:
                print(json.dumps(record), flush=True)
            if is_case:
                print(describe(record), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
