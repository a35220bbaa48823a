"""Each kind of finding: a planted mistake is caught at its line, and the right kernel is clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from emulated import FINDING_STATUS, compile_cuda, run

SOURCE = Path(__file__).parent / "mistakes.cu"
SEEDS = 20


def marked_lines() -> list[tuple[str, str, int]]:
    """(kernel, kind, line) of every mark in mistakes.cu."""
    marks = []
    for number, line in enumerate(SOURCE.read_text().splitlines(), start=1):
        if "// <- " in line and "<- KIND" not in line:
            for mark in line.partition("// <- ")[2].split("; "):
                kind, _, kernel = mark.partition(": ")
                marks.append((kernel, kind, number))
    return marks


MARKS = marked_lines()


@pytest.fixture(scope="module")
def mistakes() -> Path:
    return compile_cuda(SOURCE)


@pytest.mark.parametrize(("kernel", "kind", "line"), MARKS, ids=[mark[0] for mark in MARKS])
def test_a_mistake_is_found_at_its_line(mistakes: Path, kernel: str, kind: str, line: int) -> None:
    result = run("--timeout", "20", mistakes, kernel, "wrong")
    assert result.status == FINDING_STATUS, result.err
    found = [text for text in result.findings if f": {kind}: " in text]
    assert found, result.err
    # A race names two lines, a deadlock one for each warp: the marked one is among them.
    where = result.err if kind in ("race", "deadlock") else found[0]
    assert re.search(rf"{SOURCE.name}:{line}\b", where), result.err
    assert "CTA (" in found[0]
    assert "in kernel" in found[0]
    if kind not in ("divergent-aligned", "deadlock", "invalid-metadata"):
        assert re.search(r"address 0x[0-9a-f]+", found[0]), found[0]


@pytest.mark.parametrize("kernel", [mark[0] for mark in MARKS])
def test_without_the_mistake_every_seed_is_clean(mistakes: Path, kernel: str) -> None:
    for seed in range(SEEDS):
        result = run("--seed", str(seed), mistakes, kernel, "right")
        assert (result.status, result.err) == (0, ""), f"seed {seed}: {result.err}"


def test_a_finding_can_be_suppressed_with_a_reason(mistakes: Path) -> None:
    suppressed = run("--suppress", "*:mistakes.cu:planted on purpose", mistakes, "race", "wrong")
    assert (suppressed.status, suppressed.findings) == (0, [])
    other = run("--suppress", "misaligned:mistakes.cu:another kind", mistakes, "race", "wrong")
    assert other.status == FINDING_STATUS


def test_a_suppression_needs_a_reason(mistakes: Path) -> None:
    result = run("--suppress", "race:mistakes.cu:", mistakes, "race", "wrong")
    assert result.status == 2
    assert "KIND:WHERE:REASON" in result.err
