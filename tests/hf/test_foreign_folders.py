"""Folders that other programs wrote, and quantised ones: loaded as they are, and as converted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.10")

from hf_models import (  # noqa: E402
    output_of,
    reasons,
    save_pruned,
    sparse_layers,
    tokens_of,
)

import sparse_gemm as sg  # noqa: E402
from sparse_gemm.checkpoints import FORMATS, CheckpointError, convert, load, save  # noqa: E402
from sparse_gemm.hf import from_pretrained  # noqa: E402

UNQUANTISED = [f for f in FORMATS if f not in ("marlin-24", "gptq-marlin-24", "sparsemma")]
QUANTISED = {
    "sparse_gemm": ("int4", 128), "marlin-24": ("int4", 128), "gptq-marlin-24": ("int4", 128),
    "sparse-24-bitmask": ("float8_e4m3fn", None), "cutlass-sm90": ("int8", None),
    "sparsemma": ("int8", None),
}  # fmt: skip


def copy_others(source: Path, target: Path) -> None:
    for file in source.glob("*.json"):
        shutil.copy(file, target)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("foreign") / "dense"
    return folder, save_pruned("llama", folder, torch.bfloat16, max_shard_size="30KB")


@pytest.mark.parametrize("form", UNQUANTISED)
def test_a_folder_in_any_form_loads_as_it_is(form: str, dense: Any, tmp_path: Path) -> None:
    folder, _ = dense
    convert(folder, tmp_path / form, to=form, max_shard_bytes=40_000)
    model = sg.from_pretrained(tmp_path / form)
    expected = sg.from_pretrained(folder)
    assert len(sparse_layers(model)) == len(sparse_layers(expected)) == 15
    assert torch.equal(output_of(model), output_of(expected))


def test_a_file_of_torchs_own_class(dense: Any, tmp_path: Path) -> None:
    folder, _ = dense
    convert(folder, tmp_path / "one")
    convert(tmp_path / "one/model.safetensors", tmp_path / "two.pt", to="torch-cutlass")
    (tmp_path / "torch").mkdir()
    (tmp_path / "two.pt").rename(tmp_path / "torch/pytorch_model.bin")
    copy_others(folder, tmp_path / "torch")
    (tmp_path / "torch/model.safetensors.index.json").unlink()
    model = sg.from_pretrained(tmp_path / "torch")
    assert len(sparse_layers(model)) == 15
    assert torch.equal(output_of(model), output_of(sg.from_pretrained(folder)))


def test_experts_in_a_form_of_one_matrix_a_tensor(tmp_path: Path) -> None:
    twin = save_pruned("mixtral", tmp_path / "dense", torch.bfloat16)
    convert(tmp_path / "dense", tmp_path / "bitmask", to="sparse-24-bitmask")
    model = sg.from_pretrained(tmp_path / "bitmask")
    assert len(sparse_layers(model)) == 25
    stack = model.model.layers[1].mlp.experts.down_proj
    expected = twin.model.layers[1].mlp.experts.down_proj
    assert torch.equal(torch.stack([layer.weight for layer in stack]), expected)


def quantised_folder(form: str, folder: Path, twin_folder: Path) -> None:
    """A Llama of `form`'s quantised type, and the same weights dense."""
    sizes = {"hidden_size": 384, "intermediate_size": 512, "num_hidden_layers": 1}
    config = transformers.LlamaConfig(
        **sizes, vocab_size=128, num_attention_heads=4, num_key_value_heads=4,
        initializer_range=0.1, dtype="float16",
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).half()
    start = folder.parent / "start"
    model.save_pretrained(start)
    kind, group_size = QUANTISED[form]
    tensors = load(start)
    for name, array in tensors.items():
        if np.ndim(array) == 2 and "embed" not in name:
            tensors[name] = sg.quantize(array, kind, group_size=group_size, prune=True)
    mine = folder.parent / "mine"
    mine.mkdir()
    save(mine / "model.safetensors", tensors)
    copy_others(start, mine)
    convert(mine, folder, to=form)
    convert(folder, twin_folder, to="dense")


@pytest.mark.parametrize("form", QUANTISED)
def test_quantised_weights_stay_quantised(form: str, tmp_path: Path) -> None:
    quantised_folder(form, tmp_path / "q", tmp_path / "twin")
    twin = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "twin")
    model = sg.from_pretrained(tmp_path / "q")
    layers = sparse_layers(model)
    assert len(layers) == 8
    for name, layer in layers.items():
        assert (layer.quantize, layer.group_size) == QUANTISED[form]
        assert layer.dtype is torch.float16
        assert torch.equal(layer.weight, twin.get_parameter(f"{name}.weight")), name
    model.save_pretrained(tmp_path / "saved", max_shard_size="40KB")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    for name, layer in sparse_layers(again).items():
        for part in ("values", "metadata", "scale"):
            assert torch.equal(getattr(layer, part), getattr(layers[name], part))
    assert len(sparse_layers(again)) == 8


@pytest.mark.parametrize("form", QUANTISED)
def test_quantised_models_generate_what_their_dense_twins_do(form: str, tmp_path: Path) -> None:
    quantised_folder(form, tmp_path / "q", tmp_path / "twin")
    model = sg.from_pretrained(tmp_path / "q")
    twin = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "twin")
    assert torch.equal(tokens_of(model), tokens_of(twin))
    exact = output_of(twin.double())
    assert (output_of(model) - exact).abs().max() <= 2 * (
        output_of(twin.half()) - exact
    ).abs().max() + 1e-3


def test_int8_without_a_scale_is_made_dense(tmp_path: Path) -> None:
    save_pruned("llama", tmp_path / "dense")
    tensors = load(tmp_path / "dense")
    name = "model.layers.0.mlp.up_proj.weight"
    values = np.random.default_rng(0).integers(-3, 4, tensors[name].shape, dtype=np.int8)
    tensors[name] = sg.compress(sg.prune(values))
    (tmp_path / "mine").mkdir()
    save(tmp_path / "mine/model.safetensors", tensors)
    copy_others(tmp_path / "dense", tmp_path / "mine")
    model = sg.from_pretrained(tmp_path / "mine")
    assert reasons(model)[name.removesuffix(".weight")] == "its int8 elements have no scale"
    assert torch.equal(model.get_parameter(name), torch.from_numpy(sg.prune(values)).float())


def test_weights_quantised_in_an_unknown_form_are_named(dense: Any, tmp_path: Path) -> None:
    folder, _ = dense
    tensors = dict(load(folder))
    tensors["model.layers.0.mlp.up_proj.qweight"] = np.zeros((4, 4), np.int32)
    (tmp_path / "awq").mkdir()
    save(tmp_path / "awq/model.safetensors", tensors)
    copy_others(folder, tmp_path / "awq")
    (tmp_path / "awq/model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"up_proj\.qweight.*quantised in a form that is not"):
        sg.from_pretrained(tmp_path / "awq")


class TestHostileFolders:
    """Each is refused with a sentence that names the fault, and nothing outside is read."""

    @pytest.fixture
    def folder(self, dense: Any, tmp_path: Path) -> Path:
        convert(dense[0], tmp_path / "ours", max_shard_bytes=40_000)
        return tmp_path / "ours"

    @staticmethod
    def change(path: Path, **changes: Any) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    @staticmethod
    def index(folder: Path) -> dict[str, str]:
        path = folder / "model.safetensors.index.json"
        return json.loads(path.read_text())["weight_map"]

    def test_an_index_that_leads_outside(self, folder: Path) -> None:
        weights = {name: f"../ours/{file}" for name, file in self.index(folder).items()}
        self.change(folder / "model.safetensors.index.json", weight_map=weights)
        with pytest.raises(CheckpointError, match="names a file that is not in the folder"):
            from_pretrained(folder)

    def test_a_missing_shard(self, folder: Path) -> None:
        lost = sorted(folder.glob("*.safetensors"))[1]
        lost.unlink()
        with pytest.raises(CheckpointError, match=f"names {lost.name}, which is missing"):
            from_pretrained(folder)

    def test_an_index_of_absent_tensors(self, folder: Path) -> None:
        weights = self.index(folder)
        weights["model.more.weight"] = next(iter(weights.values()))
        self.change(folder / "model.safetensors.index.json", weight_map=weights)
        with pytest.raises(CheckpointError, match=r"'model\.more\.weight' and 0 more tensors that"):
            from_pretrained(folder)

    @pytest.mark.parametrize("load_it", [from_pretrained, transformers.AutoModel.from_pretrained])
    def test_a_later_version(self, load_it: Any, folder: Path) -> None:
        later = {"quant_method": "sparse_gemm", "format_version": 2}
        self.change(folder / "config.json", quantization_config=later)
        if load_it is from_pretrained:  # the files say what they are
            assert len(sparse_layers(load_it(folder))) == 15
            return
        with pytest.raises(CheckpointError, match="has format_version 2; this sparse_gemm reads 1"):
            load_it(folder)

    def test_a_config_that_names_files(self, folder: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret.safetensors"
        secret.write_bytes(b"nothing that could be read")
        config = {
            "quant_method": "sparse_gemm", "format_version": 1, "checkpoint": str(secret),
            "source": str(secret),
        }  # fmt: skip
        self.change(folder / "config.json", quantization_config=config)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        assert len(sparse_layers(model)) == 15
        self.change(folder / "config.json", transformers_weights="../secret.safetensors")
        assert len(sparse_layers(from_pretrained(folder))) == 15

    def test_a_config_that_names_no_model(self, folder: Path) -> None:
        self.change(folder / "config.json", architectures=["Trainer", "os.system"])
        assert len(sparse_layers(from_pretrained(folder))) == 14  # of AutoModel's: without the head

    def test_shapes_that_are_not_the_models(self, folder: Path) -> None:
        self.change(folder / "config.json", intermediate_size=100)
        for load_it in (from_pretrained, transformers.AutoModelForCausalLM.from_pretrained):
            with pytest.raises(
                CheckpointError, match=r"gate_proj\.weight has shape \(100, 64\), which 96 rows of"
            ):
                load_it(folder)

    def test_a_damaged_weight(self, folder: Path) -> None:
        path = folder / self.index(folder)["model.layers.1.mlp.down_proj.values"]
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        for load_it in (from_pretrained, transformers.AutoModelForCausalLM.from_pretrained):
            with pytest.raises(CheckpointError, match="does not match its checksum"):
                load_it(folder)

    def test_a_truncated_shard(self, folder: Path) -> None:
        path = sorted(folder.glob("*.safetensors"))[1]
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match=f"{path.name}: .*bytes of data; expected"):
            from_pretrained(folder)

    def test_a_pickle_that_runs_something(self, dense: Any, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "was-here",)

        copy_others(dense[0], tmp_path)
        (tmp_path / "model.safetensors.index.json").unlink()
        torch.save({"model.norm.weight": Evil()}, tmp_path / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="it is refused"):
            from_pretrained(tmp_path)
        assert not (tmp_path / "was-here").exists()

    def test_a_model_that_is_not_filled(self, dense: Any, tmp_path: Path) -> None:
        tensors = {n: t for n, t in load(dense[0]).items() if "norm" not in n}
        save(tmp_path / "model.safetensors", tensors)
        copy_others(dense[0], tmp_path)
        (tmp_path / "model.safetensors.index.json").unlink()
        with pytest.raises(CheckpointError, match=r"does not hold model\.layers\.0.*and 4 more"):
            from_pretrained(tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no folder with a config\.json"):
            from_pretrained(tmp_path / "nothing")
