"""examples/tour.py: its table says what is true, and every format keeps the model's words."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.10")

from examples import tour

QUICK = ("sparse_gemm", "sparse-24-bitmask", "marlin-24", tour.TORCH_FILE)
ROW = re.compile(r"^(\S+(?: \(\.bin\))?) +(\w+) +(\d+\.\d\d) +(\d+) +\d+ ms  (.*)$", re.MULTILINE)


def rows_of(forms: tuple[str, ...], steps: int, capsys: pytest.CaptureFixture[str]) -> dict:
    assert tour.main(["--steps", str(steps), "--tokens", "8", "--only", *forms]) == 0
    printed = capsys.readouterr().out
    assert "14 of 15 Linear layers swapped" in printed
    assert f"it says:\n{tour.PROMPT}" in printed
    return {row[1]: row for row in ROW.finditer(printed)}


def test_a_few_formats(capsys: pytest.CaptureFixture[str]) -> None:
    check(rows_of(QUICK, 3, capsys), QUICK)


@pytest.mark.slow
def test_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    check(rows_of(tour.FORMS, 60, capsys), tour.FORMS)


def check(rows: dict, forms: tuple[str, ...]) -> None:
    assert list(rows) == list(forms)
    for form, row in rows.items():
        assert int(row[4]) == 14, form
        assert row[5].partition(",")[0] == "yes", form


def test_other_words_are_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(model: object, ids: object, tokens: int) -> object:
        return tour.torch.tensor([[len(type(model).__name__), id(model) % 97, id(model) % 89]])

    monkeypatch.setattr(tour, "generated", said)
    monkeypatch.setattr(tour.PreTrainedTokenizerFast, "decode", lambda *_: "")
    assert tour.main(["--steps", "1", "--only", "sparse_gemm"]) == 1
    assert "NO, logits within" in capsys.readouterr().out
