"""Samples and their spread, in turns."""

from __future__ import annotations

from functools import partial

from sparse_gemm.bench.timing import Budget, Spread, Timings, take_turns


def test_spread_is_median_and_percentiles() -> None:
    assert Spread.of([float(value) for value in range(100, -1, -1)]) == Spread(50.0, 10.0, 90.0)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_ratio_is_taken_round_by_round() -> None:
    # The machine was ten times slower in the second round; the ratio does not see it.
    timings = Timings({"ours": [1.0, 10.0, 1.0], "baseline": [2.0, 20.0, 2.0]})
    assert timings.ratio("baseline", "ours") == Spread(2.0, 2.0, 2.0)


def test_variants_take_turns_and_get_the_round() -> None:
    calls: list[tuple[str, int]] = []

    def sample(name: str, round_idx: int) -> float:
        calls.append((name, round_idx))
        return float(len(calls))

    samples = {name: partial(sample, name) for name in "ab"}
    timings = take_turns(samples, Budget(seconds=0.0, min_rounds=2, max_rounds=9))
    assert calls == [("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert timings.seconds == {"a": [1.0, 4.0], "b": [2.0, 3.0]}
    assert timings.rounds == 2


def test_nothing_to_time_is_no_rounds() -> None:
    assert take_turns({}, Budget(1.0, 1, 1)).rounds == 0
