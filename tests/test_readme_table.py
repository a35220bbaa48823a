"""The README's tables and plot: rendered from documents, never typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import readme_table
from sparse_gemm.bench import cli


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a run on this machine, as if it had been more than a quick one."""
    path = tmp_path / "cpu-here.json"
    assert cli.main(["run", "cpu", "--quick", "--records", "--out", str(path)]) == 0
    monkeypatch.setattr(readme_table, "ROOT", tmp_path)
    return path


def test_a_quick_run_is_not_shown(results: Path) -> None:
    with pytest.raises(ValueError, match="mean nothing"):
        readme_table.render([results])


def test_every_product_has_its_cell(results: Path) -> None:
    found = json.loads(results.read_text())
    results.write_text(json.dumps({**found, "meaningless": None}))
    text = readme_table.render([results])
    assert "| 64x128 | 1 | **" in text
    linear = [record for record in found["records"] if record["record"] == "linear"]
    for record in linear:
        ours = record["variants"]["sparse_gemm"]["speedup"]["median"]
        assert f"**{ours:.2f}**" in text
    assert "cpu-here.svg" in text
    assert "predictions, not measurements" in text


def test_a_plot_knows_what_it_was_drawn_from(results: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (.[bench])")
    readme_table.draw(results)
    assert readme_table.plot_is_current(results)
    results.write_text(results.read_text() + " ")
    assert not readme_table.plot_is_current(results)


def test_without_results_it_says_so() -> None:
    assert readme_table.NO_RESULTS in readme_table.render([])
