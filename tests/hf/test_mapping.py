"""Rows that transformers moves while it loads: compressed weights against its own operations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.10")

from transformers import core_model_loading as theirs  # noqa: E402

import sparse_gemm as sg  # noqa: E402
from sparse_gemm.checkpoints import CheckpointError, save  # noqa: E402
from sparse_gemm.checkpoints.checkpoint import Checkpoint  # noqa: E402
from sparse_gemm.checkpoints.weight import Weight, from_dense  # noqa: E402
from sparse_gemm.hf.mapping import NameMap  # noqa: E402
from sparse_gemm.hf.matrices import _part, read_target  # noqa: E402

CASES: dict[str, Any] = {  # sources, targets, operations
    "stacked": (["e.*.a"], ["e.s"], [("MergeModulelist", 0)]),
    "stacked and joined": (
        ["e.*.a", "e.*.b"], ["e.s"], [("MergeModulelist", 0), ("Concatenate", 1)],
    ),
    "joined": (["q", "k"], ["qk"], [("Concatenate", 0)]),
    "cut": (["qkv"], ["q", "k", "v"], [("Chunk", 0)]),
}  # fmt: skip


def name_map(converter: Any) -> Any:
    rules = NameMap.__new__(NameMap)
    rules._renamings, rules._converters, rules._prefix = [], [converter], ""
    rules._of_pattern = dict.fromkeys(converter.source_patterns, converter)
    return rules


@pytest.mark.parametrize("case", CASES)
def test_the_same_rows(case: str, tmp_path: Path) -> None:
    sources, targets, steps = CASES[case]
    names = [source.replace("*", str(i)) for source in sources for i in range(3)]
    names = list(dict.fromkeys(names))
    rng = np.random.default_rng(0)
    dense = {name: sg.prune(rng.standard_normal((12, 16), dtype="f4")) for name in names}
    save(tmp_path / "w.safetensors", {name: sg.compress(w) for name, w in dense.items()})
    operations = [getattr(theirs, name)(dim=dim) for name, dim in steps]
    converter = theirs.WeightConverter(sources, targets, operations)
    collected = {s: [torch.from_numpy(dense[n]) for n in names if re.fullmatch(
        s.replace("*", r"\d"), n)] for s in sources}  # fmt: skip
    for operation in operations:
        collected = operation.convert(collected, source_patterns=sources, target_patterns=targets)
    checkpoint = Checkpoint(tmp_path / "w.safetensors")
    found = {entry.param: (form, entry) for form, entry in checkpoint.find()}
    known = dict.fromkeys(targets, torch.empty(0))
    made = name_map(converter).targets(found, known)
    assert [target.name for target in made] == targets
    for target in made:
        expected = collected[target.name]
        weight = read_target(checkpoint, target, found, list(expected.shape))
        assert isinstance(weight, Weight)
        assert np.array_equal(weight.to_dense(), expected.numpy())


def test_whatever_else_is_done_needs_it_dense() -> None:
    converter = theirs.WeightConverter(["a"], ["b"], [theirs.Transpose(0, 1)])
    (target,) = name_map(converter).targets(["x.a"], {"x.b": torch.empty(0)})
    assert (target.sources, target.moves_rows) == (("x.a",), False)


def test_a_cut_projection_follows_its_rows() -> None:
    rng = np.random.default_rng(0)
    dense = sg.prune(rng.standard_normal((12, 16), dtype=np.float32))
    whole = from_dense(dense, scale=np.arange(12, dtype=np.float32))
    for index in range(3):
        part = _part(whole, index, 3)
        rows = slice(4 * index, 4 * index + 4)
        assert np.array_equal(part.unscaled().to_dense(), dense[rows])
        assert np.array_equal(part.scale, whole.scale[rows])


@pytest.mark.parametrize("is_compressed", [True, False])
@pytest.mark.parametrize("change", [{7: None}, {8: (12, 16)}, {7: (11, 16)}, {7: (12, 1)}], ids=str)
def test_a_stack_of_too_little_or_too_much_is_refused(
    change: dict[int, tuple[int, int] | None], is_compressed: bool, tmp_path: Path
) -> None:
    """Of eight experts; nothing of what is loaded may be memory that nobody wrote."""
    shapes: dict[int, Any] = dict.fromkeys(range(8), (12, 16)) | change
    rng = np.random.default_rng(0)
    dense = {
        f"e.{index}.a": rng.standard_normal(shape, dtype="f4")
        for index, shape in shapes.items()
        if shape is not None
    }
    path = tmp_path / "w.safetensors"
    stored = {name: sg.compress(w, policy="prune") for name, w in dense.items()}
    save(path, stored if is_compressed else dense)
    checkpoint = Checkpoint(path)
    found = {entry.param: (form, entry) for form, entry in checkpoint.find()}
    merged = [theirs.MergeModulelist(dim=0)]
    converter = theirs.WeightConverter(["e.*.a"], ["e.s"], merged)
    (target,) = name_map(converter).targets(dense, {"e.s": torch.empty(0)})
    with pytest.raises(CheckpointError, match=r"^e\.s has shape \(8, 12, 16\), "):
        read_target(checkpoint, target, found, [8, 12, 16])
