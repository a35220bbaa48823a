"""convert and inspect on folders: every format there and back, sharded, streamed, reported."""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_cases import dtype_of, equal, sparse_matrix, weight

from sparse_gemm.checkpoints import FORMATS, CheckpointError, convert, inspect
from sparse_gemm.checkpoints import cli as checkpoint_cli
from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.formats.marlin24 import encode_marlin24
from sparse_gemm.checkpoints.safetensors_writer import ModelWriter, write_file
from sparse_gemm.checkpoints.weight import Weight

LAYERS = [f"model.layers.{i}.{name}" for i in range(2) for name in ("self_attn.q_proj", "mlp.up")]
Tensors = dict[str, np.ndarray]


def model(dtype: str = "float16") -> Tensors:
    """Half of the weights 2:4; an embedding that is by chance, and a head that is not."""
    rng = np.random.default_rng(0)
    kind = dtype_of(dtype)
    tensors = {"model.embed_tokens.weight": sparse_matrix(64, 128, dtype)}
    for number, layer in enumerate(LAYERS):
        tensors[f"{layer}.weight"] = sparse_matrix(128, 256, dtype, seed=number)
        tensors[f"{layer}.bias"] = rng.integers(-3, 4, 128).astype(kind)
    tensors["model.norm.weight"] = np.ones(128, kind)
    tensors["lm_head.weight"] = rng.integers(1, 4, (64, 128)).astype(kind)
    tensors["model.rotary.zeros"] = np.zeros((16, 16), kind)
    tensors["position_ids"] = np.arange(16)
    return tensors


def write_folder(folder: Path, tensors: Tensors, config: dict[str, Any], shard: int) -> Path:
    folder.mkdir()
    with ModelWriter(
        folder, metadata={"format": "pt"}, weights_key=None, max_shard_bytes=shard
    ) as writer:
        for name, array in tensors.items():
            writer.add({name: array})
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "pytorch_model.bin").write_bytes(b"an old copy of the weights")
    return folder


def read_all(path: Path) -> Tensors:
    checkpoint = Checkpoint(path)
    return {name: checkpoint.read(name) for name in checkpoint.infos}


@pytest.fixture(scope="module")
def dense_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "dense"
    return write_folder(folder, model(), {"dtype": "float16"}, shard=200_000)


@pytest.mark.parametrize(
    "to", [f for f in FORMATS if f not in ("marlin-24", "gptq-marlin-24", "sparsemma")]
)
def test_a_folder_there_and_back(to: str, dense_folder: Path, tmp_path: Path) -> None:
    report = convert(dense_folder, tmp_path / "there", to=to, max_shard_bytes=150_000)
    assert sorted(report.converted) == sorted(f"{layer}.weight" for layer in LAYERS)
    assert report.dense == {}
    found = inspect(tmp_path / "there")
    assert found.is_valid
    formats = {tensor.name: tensor.format for tensor in found.tensors}
    for layer in LAYERS:
        expected = "cutlass-sm90" if to.startswith("cutlass") else to
        assert formats[f"{layer}.weight"] == expected
    assert formats["lm_head.weight"] == formats["model.embed_tokens.weight"] == "plain"
    assert len(Checkpoint(tmp_path / "there").files) > 1
    assert (tmp_path / "there" / "tokenizer.json").read_text() == '{"version": "1.0"}'
    assert not (tmp_path / "there" / "pytorch_model.bin").exists()
    config = json.loads((tmp_path / "there" / "config.json").read_text())
    assert config["model_type"] == "llama"
    if to == "sparse_gemm":
        quantization = {"quant_method": "sparse_gemm", "format_version": 1}
        assert config["quantization_config"] == quantization
    convert(tmp_path / "there", tmp_path / "back", to="dense")
    back, expected_tensors = read_all(tmp_path / "back"), model()
    assert set(back) == set(expected_tensors)
    assert all(equal(back[name], array) for name, array in expected_tensors.items())
    assert "quantization_config" not in json.loads((tmp_path / "back" / "config.json").read_text())


@pytest.mark.parametrize("to", ["marlin-24", "gptq-marlin-24", "sparse_gemm", "sparse-24-bitmask"])
@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_folders(to: str, bits: int, tmp_path: Path) -> None:
    """marlin-24 into every form that holds it, back into marlin-24 byte for byte, and dense."""
    tensors: Tensors = {"model.norm.weight": np.ones(128, np.float16)}
    expected: Tensors = {}
    for number, layer in enumerate(LAYERS):
        found = weight(256, 384, "int8", seed=number)
        found = found.narrowed() if bits == 4 else found
        scale = (np.random.default_rng(number).integers(1, 99, (256, 3)) / 64).astype(np.float16)
        found = replace(found, scale=scale, group_size=128, dense_dtype="float16")
        parts = encode_marlin24(found, is_gptq=False)
        tensors |= {
            f"{layer}.weight_packed": parts["packed"],
            f"{layer}.meta": parts["meta"],
            f"{layer}.scale_packed": parts["scales"],
        }
        expected[f"{layer}.weight"] = found.to_dense()
    config = {"quantization_config": {"quant_method": "compressed-tensors", "format": "marlin-24"}}
    folder = write_folder(tmp_path / "marlin", tensors, config, shard=10**9)
    if to == "sparse-24-bitmask" and bits == 4:
        with pytest.raises(CheckpointError, match="int4 does not exist"):
            convert(folder, tmp_path / "there", to=to)
        return
    report = convert(folder, tmp_path / "there", to=to)
    assert len(report.converted) == len(LAYERS)
    assert report.kinds == {(f"int{bits}", 128)}
    convert(tmp_path / "there", tmp_path / "back", to="marlin-24")
    back = read_all(tmp_path / "back")
    assert set(back) == set(tensors)
    assert all(equal(back[name], array) for name, array in tensors.items())
    convert(tmp_path / "there", tmp_path / "dense", to="dense")
    dense = read_all(tmp_path / "dense")
    assert set(dense) == {*expected, "model.norm.weight"}
    assert all(equal(dense[name], array) for name, array in expected.items())
    quantization = json.loads((tmp_path / "there" / "config.json").read_text())[
        "quantization_config"
    ]
    methods = {"sparse_gemm": "sparse_gemm", "gptq-marlin-24": "gptq"}
    assert quantization["quant_method"] == methods.get(to, "compressed-tensors")


def test_what_the_target_cannot_hold_is_written_dense_and_reported(tmp_path: Path) -> None:
    tensors = {
        "a.weight": sparse_matrix(32, 64, "float16"),
        "b.weight": sparse_matrix(40, 64, "float16"),
    }
    write_file(tmp_path / "in.safetensors", tensors, {})
    report = convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors", to="torch-cutlass")
    assert report.converted == ["a.weight"]
    assert "multiple of 32" in report.dense["b.weight"]
    assert "b.weight: " in str(report)
    assert equal(read_all(tmp_path / "out.safetensors")["b.weight"], tensors["b.weight"])


def test_a_target_that_holds_nothing_is_an_error(dense_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing can be written as marlin-24.*quantize"):
        convert(dense_folder, tmp_path / "out", to="marlin-24")
    assert not list(tmp_path.iterdir())


def test_weights_in_a_foreign_form_are_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "in.safetensors", {"a.qweight": np.zeros((4, 4), np.int32)}, {})
    with pytest.raises(CheckpointError, match=r"a\.qweight .*not read here"):
        convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors")


def test_memory_is_bounded_by_the_largest_weight(tmp_path: Path) -> None:
    """12 weights of 8 MiB: converting them takes less than four of them would."""
    names = [f"l{i}.weight" for i in range(12)]
    with ModelWriter(tmp_path, metadata={}, weights_key=None, max_shard_bytes=2**25) as writer:
        for i, name in enumerate(names):
            writer.add({name: sparse_matrix(2048, 2048, "float16", seed=i)})
    program = (
        "import resource, sys, tracemalloc\n"
        "from sparse_gemm.checkpoints import convert\n"
        "tracemalloc.start()\n"
        "convert(sys.argv[1], sys.argv[2])\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(tmp_path.parent / "converted")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 4 * 2**23


def test_progress_goes_to_the_log_without_tqdm(
    dense_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with caplog.at_level(logging.INFO, "sparse_gemm"):
        inspect(dense_folder, progress=True)
    assert "inspecting: 0 of " in caplog.text


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    checkpoint_cli.add_commands(parser.add_subparsers(required=True))
    found = parser.parse_args(arguments)
    return int(found.run(found))


def test_the_commands(
    dense_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = str(tmp_path / "there")
    assert run("convert", str(dense_folder), there, "--quiet") == 0
    assert "4 weights as sparse_gemm, 0 dense" in capsys.readouterr().out
    assert run("inspect", there, "--quiet") == 0
    out = capsys.readouterr().out
    assert "model.layers.0.mlp.up.weight  sparse_gemm  float16 128x256  2:4" in out
    assert out.endswith("valid\n")
    assert run("convert", there, str(tmp_path / "x"), "--to", "nonsense", "--quiet") == 1
    assert "to is 'nonsense'; expected one of sparse_gemm" in capsys.readouterr().err
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    assert run("inspect", str(tmp_path / "bad.safetensors"), "--quiet") == 1
    assert "inspect: bad.safetensors: the file has 3 bytes" in capsys.readouterr().err


def test_inspect_says_how_sparse_and_what_is_wrong(tmp_path: Path) -> None:
    found = weight(64, 128, "float16")
    from sparse_gemm.checkpoints.formats import WRITABLE

    target = WRITABLE["torch-cutlass"]
    assert target.encode is not None
    parts = target.encode(found)
    spoilt = {**parts, "meta": np.zeros_like(parts["meta"])}
    tensors = {f"a.{name}": part for name, part in parts.items()}
    tensors |= {f"b.{name}": part for name, part in spoilt.items()}
    write_file(tmp_path / "in.safetensors", tensors, {})
    report = inspect(tmp_path / "in.safetensors")
    good, bad = report.tensors
    assert good.name == "a.weight"
    assert good.pattern == "2:4"
    dense = found.to_dense()
    assert good.non_zeros == np.count_nonzero(dense) / dense.size
    assert not report.is_valid
    assert "b.weight (torch-cutlass): row" in bad.error
    assert "NOT VALID" in str(report)


def test_a_stack_of_experts(tmp_path: Path) -> None:
    w = sparse_matrix(48, 64, "bfloat16").reshape(3, 16, 64)
    write_file(tmp_path / "in.safetensors", {"mlp.experts.gate_up_proj": w}, {})
    report = convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert report.converted == ["mlp.experts.gate_up_proj"]
    stored = read_all(tmp_path / "out.safetensors")
    assert stored["mlp.experts.gate_up_proj.values"].shape == (3, 16, 32)
    checkpoint = Checkpoint(tmp_path / "out.safetensors")
    (found,) = checkpoint.find()
    decoded = checkpoint.decode(*found)
    assert isinstance(decoded, Weight)
    assert equal(decoded.to_dense(), w)
