"""Which cases became slower: those, and no others."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparse_gemm.bench import cli, compare
from sparse_gemm.bench.names import OURS
from sparse_gemm.bench.timing import Spread

DENSE = "torch bfloat16"


def spread(rng: np.random.Generator, median: float, noise: float) -> dict[str, float]:
    return vars(Spread.of(median * (1 + noise * rng.standard_normal(40))))


def document(seed: int, noise: float = 0.03, machine: float = 1.0) -> dict[str, Any]:
    """48 cases of this machine, measured with noise, as if `machine` times as slow."""
    rng = np.random.default_rng(seed)
    records = []
    for index, tokens in enumerate([1, 4, 16, 32, 64, 256] * 8):
        ours, dense = ((1e-3 + 1e-4 * index) * machine * factor for factor in (1.0, 1.6))
        variants = {
            OURS: {"role": "ours", "seconds": spread(rng, ours, noise)},
            DENSE: {"role": "dense", "seconds": spread(rng, dense, noise)},
        }
        of = {"record": "linear", "suite": "cpu", "type": "bfloat16"}
        of |= {"m": 64 * (index // 6 + 1), "k": 4096, "tokens": tokens}
        records.append({**of, "rounds": 40, "baseline": DENSE, "variants": variants})
    return {
        "schema": 2,
        "meaningless": None,
        "device": {"name": "a CPU", "kind": "cpu"},
        "records": records,
    }


def slowed(of: dict[str, Any], index: int, factor: float, name: str = OURS) -> dict[str, Any]:
    changed = copy.deepcopy(of)
    seconds = changed["records"][index]["variants"][name]["seconds"]
    for key in seconds:
        seconds[key] *= factor
    return changed


@pytest.mark.parametrize("seed", range(20))
def test_a_slowdown_of_a_fifth_in_one_case_flags_that_case_alone(seed: int) -> None:
    after = slowed(document(1000 + seed), 17, 1.2)
    found = compare.compare(document(seed), after)
    assert [v.case for v in found if v.word != "same"] == ["linear 192x4096 bfloat16, 256 tokens"]
    (flagged,) = [v for v in found if v.word != "same"]
    assert flagged.word == "slower"
    assert flagged.ours is not None
    assert flagged.ours.ratio == pytest.approx(1.2, rel=0.05)


def test_what_became_faster_is_told() -> None:
    found = compare.compare(document(1), slowed(document(2), 5, 0.8))
    assert [v.word for v in found if v.word != "same"] == ["faster"]


def test_noise_is_no_change() -> None:
    found = compare.compare(document(1, noise=0.15), document(2, noise=0.15))
    assert {v.word for v in found} == {"same"}


def test_a_busier_machine_is_no_slowdown() -> None:
    found = compare.compare(document(1), document(2, machine=1.4))
    assert {v.word for v in found} == {"machine"}


def test_a_slowdown_shows_on_a_busier_machine() -> None:
    found = compare.compare(document(1), slowed(document(2, machine=1.3), 3, 1.3))
    assert [index for index, v in enumerate(found) if v.word == "slower"] == [3]


def test_a_slower_baseline_is_no_gain_of_ours() -> None:
    found = compare.compare(document(1), slowed(document(2), 3, 1.5, DENSE))
    assert {v.word for v in found} == {"same"}


def test_cases_that_came_went_or_failed() -> None:
    before, after = document(1), document(2)
    del after["records"][0], before["records"][1]
    del after["records"][2]["variants"][OURS]["seconds"]
    words = [v.word for v in compare.compare(before, after)]
    assert sorted(word for word in words if word != "same") == ["failed", "gone", "new"]


def test_a_case_that_failed_before_and_works_now_is_new() -> None:
    before, after = document(1), document(2)
    del before["records"][4]["variants"][OURS]["seconds"]
    assert compare.compare(before, after)[4].word == "new"
    del after["records"][4]["variants"][OURS]["seconds"]
    assert compare.compare(before, after)[4].word == "same"


@pytest.mark.parametrize("other_is_in", ["both", "before", "after"])
def test_the_machine_is_known_by_whichever_baseline_both_have(other_is_in: str) -> None:
    """The fastest dense way may be another one the next time."""
    documents = {"before": document(1), "after": document(2, machine=1.4)}
    for name, of in documents.items():
        if other_is_in in ("both", name):
            for record in of["records"]:
                record["variants"]["other"] = copy.deepcopy(record["variants"][DENSE])
                record["baseline"] = "other"
                if other_is_in == "both" and name == "after":
                    record["baseline"] = DENSE
    found = compare.compare(*documents.values())
    assert {v.word for v in found} == {"machine"}


def test_other_devices_and_meaningless_times_do_not_compare() -> None:
    other = document(2)
    other["device"]["name"] = "another CPU"
    with pytest.raises(ValueError, match="a CPU and of another CPU"):
        compare.compare(document(1), other)
    with pytest.raises(ValueError, match="emulated"):
        compare.compare({**document(1), "meaningless": "emulated"}, document(2))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path, found in zip(paths, (document(1), slowed(document(2), 17, 1.2)), strict=True):
        path.write_text(json.dumps(found))
    assert cli.main(["compare", *map(str, paths)]) == 1
    printed = capsys.readouterr().out
    assert "linear 192x4096 bfloat16, 256 tokens" in printed
    assert "47 of 48 case(s) the same within noise" in printed
    assert cli.main(["compare", str(paths[0]), str(paths[0])]) == 0
    paths[1].write_text('{"schema": 1}')
    assert cli.main(["compare", *map(str, paths)]) == 2
    assert "has schema 1; expected 2" in capsys.readouterr().err
