"""config.json of converted folders, read by the libraries whose spelling it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.10")

from hf_models import save_pruned  # noqa: E402
from test_foreign_folders import quantised_folder  # noqa: E402

from sparse_gemm.checkpoints import convert  # noqa: E402

NEEDS = "needs the package compressed-tensors 0.12.2, the last to read these formats"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sparse-24-bitmask", "sparse-bitmask"])
def test_compressed_tensors_fills_a_model_from_our_folder(form: str, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors.compressors.sparse_compressors", reason=NEEDS)
    from compressed_tensors import ModelCompressor

    twin = save_pruned("llama", tmp_path / "dense", torch.bfloat16)
    convert(tmp_path / "dense", tmp_path / form, to=form)
    compressor = ModelCompressor.from_pretrained(str(tmp_path / form))
    assert compressor.sparsity_config.format == form
    assert compressor.quantization_config is None
    model = type(twin)(twin.config).bfloat16()
    compressor.decompress(str(tmp_path / form), model)
    for name, parameter in twin.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter), name


@pytest.mark.slow
@pytest.mark.parametrize("form", ["marlin-24", "sparse-24-bitmask"])
def test_compressed_tensors_reads_the_config_of_quantised_weights(
    form: str, tmp_path: Path
) -> None:
    pytest.importorskip("compressed_tensors.compressors.sparse_compressors", reason=NEEDS)
    from compressed_tensors import ModelCompressor

    quantised_folder(form, tmp_path / "q", tmp_path / "twin")
    compressor = ModelCompressor.from_pretrained(str(tmp_path / "q"))
    (scheme,) = compressor.quantization_config.config_groups.values()
    kind, group_size = {"marlin-24": ("int", 128), "sparse-24-bitmask": ("float", None)}[form]
    assert scheme.targets == ["Linear"]
    assert (scheme.weights.type, scheme.weights.group_size) == (kind, group_size)
    assert scheme.weights.symmetric
    assert (compressor.sparsity_config is not None) == (form == "sparse-24-bitmask")
    if form == "sparse-24-bitmask":
        twin = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "twin")
        model = type(twin)(twin.config).half()
        compressor.decompress(str(tmp_path / "q"), model)
        name = "model.layers.0.mlp.down_proj.weight"
        theirs = model.get_parameter(name)  # in bfloat16, whatever the model's type
        assert theirs.dtype is torch.bfloat16
        ours = twin.get_parameter(name)
        torch.testing.assert_close(theirs.float(), ours.float(), rtol=2**-7, atol=0)


def test_transformers_reads_the_gptq_spelling(tmp_path: Path) -> None:
    quantised_folder("gptq-marlin-24", tmp_path / "q", tmp_path / "twin")
    config = json.loads((tmp_path / "q/config.json").read_text())["quantization_config"]
    read = transformers.GPTQConfig.from_dict(config)
    assert (read.bits, read.group_size, read.desc_act, read.sym) == (4, 128, False, True)
