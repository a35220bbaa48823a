"""from_pretrained, and AutoModel after it: models of many builds against their dense twins."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.10")
safetensors_torch = pytest.importorskip("safetensors.torch")

from hf_models import (  # noqa: E402
    IDS,
    MODELS,
    assert_as_accurate,
    output_of,
    reasons,
    save_pruned,
    sparse_layers,
    tokens_of,
)

import sparse_gemm as sg  # noqa: E402
from sparse_gemm.checkpoints import CheckpointError, convert, inspect  # noqa: E402
from sparse_gemm.hf.experts import stacked  # noqa: E402
from sparse_gemm.hf.saving import saved_form  # noqa: E402

AUTO = {
    "bert": transformers.AutoModel,
    "t5": transformers.AutoModelForSeq2SeqLM,
}
# Of two layers: attention, then what follows it; and the head.
COMPRESSED = {"llama": 15, "tied": 14, "fused": 9, "mixtral": 25, "qwen-moe": 31, "bert": 13}
COMPRESSED |= {"gpt2": 0, "t5": 36}


def auto_load(kind: str, folder: Path, **options: Any) -> Any:
    return AUTO.get(kind, transformers.AutoModelForCausalLM).from_pretrained(folder, **options)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """kind, its folder, the dense twin, the model."""
    folder = tmp_path_factory.mktemp("models") / "dense"
    twin = save_pruned(request.param, folder)
    return request.param, folder, twin, sg.from_pretrained(folder)


def test_layers_are_compressed_and_outputs_as_accurate_as_dense(loaded: Any) -> None:
    kind, _, twin, model = loaded
    assert type(model) is type(twin)
    assert not model.training
    assert len(sparse_layers(model)) == COMPRESSED[kind]
    assert_as_accurate(model, twin)


def test_generate_says_what_the_twin_says(loaded: Any) -> None:
    kind, _, twin, model = loaded
    if kind == "bert":
        pytest.skip("BERT does not generate")
    assert torch.equal(tokens_of(model), tokens_of(twin))


def test_no_dense_copy_is_held(loaded: Any) -> None:
    _, _, twin, model = loaded
    sparse = sparse_layers(model)
    report = model.hf_quantizer.report
    expected = sum(t.nbytes for t in twin.parameters())
    assert (
        sum(layer.nbytes for layer in sparse.values())
        < 0.54 * sum(entry.bytes_before for entry in report.swapped) + 1
    )
    assert sum(t.nbytes for t in model.parameters()) + sum(
        layer.nbytes for layer in sparse.values()
    ) == expected - (report.bytes_before - report.bytes_after)


def test_every_parameter_is_the_twins(loaded: Any) -> None:
    _, _, twin, model = loaded
    found = model.state_dict()
    for name, tensor in twin.state_dict().items():
        if name not in found:  # a stack of experts: a layer for each
            layers = getattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
            assert torch.equal(torch.stack([layer.weight for layer in layers]), tensor), name
        else:
            assert torch.equal(found[name], tensor), name


def test_saved_and_loaded_again_it_is_the_same(loaded: Any, tmp_path: Path) -> None:
    kind, _, _, model = loaded
    model.save_pretrained(tmp_path / "saved", max_shard_size="30KB")
    assert len(list((tmp_path / "saved").glob("*.safetensors"))) > 2
    quantization = json.loads((tmp_path / "saved/config.json").read_text())["quantization_config"]
    assert quantization == {"quant_method": "sparse_gemm", "format_version": 1}
    found = inspect(tmp_path / "saved")
    assert found.is_valid
    stacks = sum(len(t.shape) == 3 for t in found.tensors)
    compressed = [t for t in found.tensors if t.format == "sparse_gemm"]
    matrices = sum(t.shape[0] if len(t.shape) == 3 else 1 for t in compressed)
    assert matrices == COMPRESSED[kind]
    assert stacks == (4 if kind in ("mixtral", "qwen-moe") else 0)
    for again in (auto_load(kind, tmp_path / "saved"), sg.from_pretrained(tmp_path / "saved")):
        assert len(sparse_layers(again)) == COMPRESSED[kind]
        torch.testing.assert_close(output_of(again), output_of(model), atol=1e-5, rtol=1e-5)


def test_a_converted_folder_loads_with_automodel(loaded: Any, tmp_path: Path) -> None:
    kind, folder, _, model = loaded
    if kind == "gpt2":
        pytest.skip("nothing of it is compressed: the folder has plain weights alone")
    convert(folder, tmp_path / "ours", max_shard_bytes=40_000)
    again = auto_load(kind, tmp_path / "ours")
    assert len(sparse_layers(again)) == COMPRESSED[kind]
    expected = again.state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in model.state_dict().items())
    # Not to the bit: transformers leaves dense weights where the file is mapped, and how they are
    # aligned there decides how torch multiplies them.
    torch.testing.assert_close(output_of(again), output_of(model), atol=1e-5, rtol=1e-5)
    convert(tmp_path / "ours", tmp_path / "dense", to="dense")
    assert torch.equal(output_of(sg.from_pretrained(tmp_path / "dense")), output_of(model))


def test_copies_and_pickles(loaded: Any) -> None:
    _, _, _, model = loaded
    expected = output_of(model)
    assert torch.equal(output_of(copy.deepcopy(model)), expected)
    assert torch.equal(output_of(pickle.loads(pickle.dumps(model))), expected)


def test_without_no_grad_it_runs_too(loaded: Any) -> None:
    kind, _, _, model = loaded
    options = {"decoder_input_ids": IDS[:, :3]} if kind == "t5" else {}
    assert torch.equal(model(input_ids=IDS, **options)[0], output_of(model))


def test_dtype_decides_what_is_computed_in(tmp_path: Path) -> None:
    twin = save_pruned("llama", tmp_path / "bf16", torch.bfloat16)
    model = sg.from_pretrained(tmp_path / "bf16")
    assert {layer.dtype for layer in sparse_layers(model).values()} == {torch.bfloat16}
    assert_as_accurate(model, twin)
    wide = sg.from_pretrained(tmp_path / "bf16", dtype=torch.float32)
    assert {layer.dtype for layer in sparse_layers(wide).values()} == {torch.float32}
    assert_as_accurate(wide, twin.float())
    convert(tmp_path / "bf16", tmp_path / "ours")
    again = auto_load("llama", tmp_path / "ours", dtype=torch.float32)
    assert torch.equal(output_of(again), output_of(wide))


def test_automodel_compresses_a_dense_folder_when_asked(tmp_path: Path) -> None:
    save_pruned("llama", tmp_path / "dense")
    from sparse_gemm.hf import SparseGemmConfig

    model = auto_load("llama", tmp_path / "dense", quantization_config=SparseGemmConfig())
    assert len(sparse_layers(model)) == COMPRESSED["llama"]
    assert torch.equal(output_of(model), output_of(sg.from_pretrained(tmp_path / "dense")))


def test_what_is_left_dense_has_its_reason(tmp_path: Path) -> None:
    twin = save_pruned("tied", tmp_path / "tied")
    name = "model.layers.0.mlp.up_proj.weight"
    twin.get_parameter(name).data[3, :4] = 1.0
    twin.save_pretrained(tmp_path / "tied")
    model = sg.from_pretrained(tmp_path / "tied")
    assert reasons(model) == {
        "model.layers.0.mlp.up_proj": "its weight is not 2:4",
        "lm_head": "its weight is shared with model.embed_tokens.weight",
    }
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert torch.equal(model.get_parameter(name), twin.get_parameter(name))
    assert_as_accurate(model, twin)


def test_a_compressed_head_that_the_model_ties_is_made_dense(tmp_path: Path) -> None:
    twin = save_pruned("llama", tmp_path / "untied")
    twin.model.embed_tokens.weight.data = twin.lm_head.weight.data.clone()
    twin.save_pretrained(tmp_path / "untied")
    convert(tmp_path / "untied", tmp_path / "ours")
    config = json.loads((tmp_path / "ours/config.json").read_text())
    (tmp_path / "ours/config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    for model in (sg.from_pretrained(tmp_path / "ours"), auto_load("llama", tmp_path / "ours")):
        assert "its weight is shared with" in reasons(model)["lm_head"]
        assert torch.equal(model.lm_head.weight, twin.lm_head.weight)
        assert_as_accurate(model, twin)


def test_conv1d_is_no_linear_layer(tmp_path: Path) -> None:
    twin = save_pruned("gpt2", tmp_path / "gpt2")
    model = sg.from_pretrained(tmp_path / "gpt2")
    why = reasons(model)["transformer.h.0.attn.c_attn.weight"]
    assert why == "it is a parameter of a Conv1D, which is no torch.nn.Linear"
    assert torch.equal(output_of(model), output_of(twin))
    convert(tmp_path / "gpt2", tmp_path / "ours")
    again = auto_load("gpt2", tmp_path / "ours")
    torch.testing.assert_close(output_of(again), output_of(twin), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("original", [True, False])
def test_experts_stored_one_by_one_and_as_stacks(original: bool, tmp_path: Path) -> None:
    twin = save_pruned("mixtral", tmp_path / "dense", save_original_format=original)
    names = safetensors_torch.load_file(tmp_path / "dense/model.safetensors")
    assert any(re.search(r"experts\.3\.w1\.weight$", name) for name in names) == original
    convert(tmp_path / "dense", tmp_path / "ours")
    for model in (sg.from_pretrained(tmp_path / "dense"), auto_load("mixtral", tmp_path / "ours")):
        assert len(sparse_layers(model)) == COMPRESSED["mixtral"]
        assert_as_accurate(model, twin)


def test_a_stack_with_one_dense_expert_is_dense(tmp_path: Path) -> None:
    twin = save_pruned("mixtral", tmp_path / "dense")
    twin.model.layers[0].mlp.experts.gate_up_proj.data[1, 7, :4] = 1.0
    twin.save_pretrained(tmp_path / "dense")
    convert(tmp_path / "dense", tmp_path / "ours")
    stack = "model.layers.0.mlp.experts.gate_up_proj"
    model = sg.from_pretrained(tmp_path / "dense")
    assert reasons(model)[stack] == "its weight is not 2:4"
    assert_as_accurate(model, twin)
    again = auto_load("mixtral", tmp_path / "ours")
    assert stack in reasons(again)
    assert torch.equal(again.get_parameter(stack), twin.get_parameter(stack))
    assert_as_accurate(again, twin)


def test_stacks_are_saved_without_a_copy(tmp_path: Path) -> None:
    save_pruned("mixtral", tmp_path / "dense")
    model = sg.from_pretrained(tmp_path / "dense")
    stack = model.model.layers[0].mlp.experts.gate_up_proj
    whole = stacked([layer.values for layer in stack])
    assert whole.data_ptr() == stack[0].values.data_ptr()
    apart = copy.deepcopy(stack)
    apart[2] = copy.deepcopy(apart[2])
    parts = [layer.values for layer in apart]
    assert stacked(parts).data_ptr() != parts[0].data_ptr()
    assert torch.equal(stacked(parts), whole)


def test_each_expert_is_unpacked_once_to_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pruned("mixtral", tmp_path / "dense")
    model = sg.from_pretrained(tmp_path / "dense")
    asked: list[sg.SparseLinear] = []
    canonical = sg.SparseLinear._canonical_buffers

    def counted(layer: sg.SparseLinear) -> Any:
        asked.append(layer)
        return canonical(layer)

    monkeypatch.setattr(sg.SparseLinear, "_canonical_buffers", counted)
    state, _ = saved_form(model)
    assert len(asked) == len({*asked}) == len(sparse_layers(model))
    stack = "model.layers.0.mlp.experts.gate_up_proj"
    assert state[f"{stack}.values"].shape[0] == 4
    assert not any(name.startswith(f"{stack}.0") for name in state)


def test_the_class_can_be_named(tmp_path: Path) -> None:
    save_pruned("bert", tmp_path / "bert")
    with pytest.raises(CheckpointError, match=r"does not hold classifier\.bias.*strict=False"):
        sg.from_pretrained(
            tmp_path / "bert", model_class=transformers.AutoModelForSequenceClassification
        )
    model, info = sg.from_pretrained(
        tmp_path / "bert", model_class=transformers.BertForSequenceClassification, strict=False,
        output_loading_info=True,
    )  # fmt: skip
    assert type(model) is transformers.BertForSequenceClassification
    assert info["missing_keys"] == {"classifier.weight", "classifier.bias"}
    assert len(sparse_layers(model)) == COMPRESSED["bert"]


def test_generation_settings_come_along(tmp_path: Path) -> None:
    twin = save_pruned("llama", tmp_path / "dense")
    twin.generation_config.max_new_tokens = 7
    twin.save_pretrained(tmp_path / "dense")
    convert(tmp_path / "dense", tmp_path / "ours")
    for folder in ("dense", "ours"):
        model = sg.from_pretrained(tmp_path / folder)
        assert model.generate(IDS, do_sample=False).shape[1] == IDS.shape[1] + 7


def test_several_devices_are_refused() -> None:
    from sparse_gemm.hf import SparseGemmConfig, SparseGemmQuantizer

    quantizer = SparseGemmQuantizer(SparseGemmConfig())
    quantizer.validate_environment(device_map={"": "cpu"})
    for device_map in ("auto", {"model": 0, "lm_head": 1}, {"": "disk"}):
        with pytest.raises(ValueError, match="expected one device"):
            quantizer.validate_environment(device_map=device_map)


def test_nothing_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, sparse_gemm\n"
        "assert not {'torch', 'transformers', 'sparse_gemm.hf'} & set(sys.modules)\n"
        "import transformers\n"
        "sparse_gemm.from_pretrained\n"
        "from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING\n"
        "assert 'sparse_gemm' in AUTO_QUANTIZER_MAPPING\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
