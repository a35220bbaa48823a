"""The inner loops of the CPU kernels take no more instructions than the committed figures say."""

from __future__ import annotations

import functools

import pytest

from benchmarks import instruction_counts as counts

pytestmark = pytest.mark.slow

MORE = 1.02  # allocators and the like leave traces in counts
LESS = 0.95


@functools.cache
def counted(isa: str) -> counts.Figures:
    try:
        compiler = counts.compiler()
        if compiler != counts.read()["compiler"]:
            pytest.skip(f"the figures are of another compiler than {compiler}")
        return counts.count(isa)
    except counts.CannotCountError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("isa", [*counts.BY_VALGRIND, *counts.BY_STEPS])
def test_inner_loops_take_as_many_instructions_as_committed(isa: str) -> None:
    found = counted(isa)
    committed: counts.Figures = counts.read()["figures"][isa]
    assert found.keys() == committed.keys()
    changed = {
        case: f"{committed[case]} -> {figure}"
        for case, figure in found.items()
        if not LESS * committed[case] <= figure <= MORE * committed[case]
    }
    assert not changed, f"{changed}: {counts.REGENERATE}"


def test_both_ways_of_counting_agree() -> None:
    """But for what the C library does: under valgrind it has no AVX-512 to clear memory with."""
    by_valgrind = counted("avx2")
    by_steps = counts.figures_of(counts.by_steps("avx2"))
    assert by_steps == pytest.approx(by_valgrind, rel=0.02)


def test_vectors_take_a_part_of_an_instruction_for_each_weight() -> None:
    """Figures that would mean that nothing is vectorised, or nothing computed."""
    figures = counts.read()["figures"]
    for isa in set(figures) - {"portable"}:
        for case, figure in figures[isa].items():
            assert 0.02 < figure < 3, f"{case} on {isa}"
            plain = figures["portable"][case.replace("-intel", "")]
            assert figure < plain / 2, f"{case} on {isa}"
