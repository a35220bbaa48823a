"""The benchmarks' arithmetic, and that all of it runs; no figure is judged here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent))  # benchmarks is not installed
pytest.importorskip("tqdm", reason="tqdm is not installed (pip install '.[bench]')")

from benchmarks import cpu, readme_table
from benchmarks.report import read_json
from benchmarks.timing import Budget, Spread, Timings, take_turns


def test_spread_is_median_and_percentiles() -> None:
    assert Spread.of([float(value) for value in range(100, -1, -1)]) == Spread(50.0, 10.0, 90.0)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_ratio_is_taken_round_by_round() -> None:
    # The machine was ten times slower in the second round; the ratio does not see it.
    timings = Timings({"ours": [1.0, 10.0, 1.0], "baseline": [2.0, 20.0, 2.0]})
    assert timings.ratio("baseline", "ours") == Spread(2.0, 2.0, 2.0)


def test_variants_take_turns_and_get_the_round() -> None:
    calls: list[tuple[str, int]] = []
    variants = {
        "a": lambda round_idx: calls.append(("a", round_idx)),
        "b": lambda round_idx: calls.append(("b", round_idx)),
    }
    timings = take_turns(variants, Budget(seconds=0.0, min_rounds=2, max_rounds=9), calls=2)
    warm_up, first, second = calls[:2], calls[2:6], calls[6:]
    assert warm_up == [("a", 0), ("b", 0)]
    assert first == [("a", 1), ("a", 1), ("b", 1), ("b", 1)]
    assert second == [("b", 2), ("b", 2), ("a", 2), ("a", 2)]
    assert timings.rounds == 2


def test_a_quick_run_covers_every_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    cpu.main(["--quick", "--json", str(path)])
    results = read_json(path)
    linear = {(result.dtype, result.n) for result in results if result.case == "linear"}
    dtypes = ("bfloat16", "float16", "float32", "int8")
    assert linear == {(dtype, tokens) for dtype in dtypes for tokens in (1, 16, 1024)}
    assert [result.ours for result in results if result.case == "compress"] == [
        "compress",
        "compress(policy=prune)",
    ]
    for result in results:
        assert 0 < result.seconds.p10 <= result.seconds.median <= result.seconds.p90
        if result.case == "linear":
            flops = 2 * result.m * result.n * result.k
            expected = flops / result.seconds.median / 1e9
            assert result.figures["dense_equiv_gflops"] == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert printed.count("dense_equiv_gflops") == len(linear)

    document = json.loads(path.read_text())
    assert document["machine"]["threads"] > 0
    document["settings"]["quick"] = False  # to see it rendered
    path.write_text(json.dumps(document))
    table = readme_table.render([path])
    assert table.count("\n| ") == len(results) + 1
    assert document["machine"]["cpu"] in table
