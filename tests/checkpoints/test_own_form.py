"""The project's own file form: golden files, plain safetensors, checksums, atomic saving."""

from __future__ import annotations

import json
from pathlib import Path

import make_golden
import ml_dtypes
import numpy as np
import pytest
from checkpoint_cases import equal, sparse_matrix, weight

import sparse_gemm as sg
from sparse_gemm.checkpoints import CheckpointError, convert, inspect, load, save
from sparse_gemm.checkpoints.checkpoint import Checkpoint
from sparse_gemm.checkpoints.safetensors_file import SafetensorsFile
from sparse_gemm.checkpoints.safetensors_writer import ModelWriter, atomic_folder
from sparse_gemm.checkpoints.tensors import TensorInfo
from sparse_gemm.checkpoints.weight import Weight

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import save_file  # noqa: E402


def decoded(path: Path) -> dict[str, Weight]:
    checkpoint = Checkpoint(path)
    found = {entry.param: checkpoint.decode(f, entry) for f, entry in checkpoint.find()}
    return {name: w for name, w in found.items() if isinstance(w, Weight)}


def test_golden_files_read_as_ever() -> None:
    found = decoded(make_golden.FILE)
    expected = make_golden.weights()
    assert set(found) == set(expected) == set(make_golden.NAMES)
    for name, w in found.items():
        assert equal(w.elements().reshape(w.shape), make_golden.dense_of(name))
        for field in ("values", "metadata"):
            assert equal(getattr(w, field), getattr(expected[name], field))
    exact = make_golden.dense_of("int8.weight").astype(np.float64) * make_golden.ROW_SCALE[:, None]
    assert equal(found["int8.weight"].to_dense(), exact.astype(ml_dtypes.bfloat16))
    factors = make_golden.GROUP_SCALE.astype(np.float64).repeat(32, axis=1)[:, :72]
    exact = make_golden.dense_of("int4.weight") * factors
    assert equal(found["int4.weight"].to_dense(), exact.astype(np.float16))
    assert inspect(make_golden.FILE).is_valid


def test_golden_files_are_still_written_byte_for_byte(tmp_path: Path) -> None:
    make_golden.write(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == make_golden.FILE.read_bytes()


def test_plain_safetensors_reads_our_files() -> None:
    with safetensors.safe_open(make_golden.FILE, framework="pt") as file:
        metadata = file.metadata()
        assert metadata["sparse_gemm.format"] == "1"
        about = json.loads(metadata["sparse_gemm.weights"])["int4.weight"]
        assert about == {
            "shape": [8, 72], "pattern": "2:4", "dtype": "int4", "group_size": 32,
            "dense_dtype": "float16",
        }  # fmt: skip
        ours = SafetensorsFile(make_golden.FILE)
        assert set(file.keys()) == set(ours.infos)
        for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            tensor = file.get_tensor(name)
            assert tuple(tensor.shape) == ours.infos[name].shape
            raw = tensor.reshape(-1).view(dtype=__import__("torch").uint8).numpy().tobytes()
            assert raw == bytes(ours.raw(name))


def test_save_and_load(tmp_path: Path) -> None:
    w = sparse_matrix(12, 40, "float16")
    bias = np.arange(12, dtype=np.float32)
    save(tmp_path / "a.safetensors", {"up.weight": sg.compress(w), "up.bias": bias})
    found = load(tmp_path / "a.safetensors")
    assert isinstance(found["up.weight"], sg.Sparse24Tensor)
    assert equal(found["up.weight"].to_dense(), w)
    assert equal(found["up.bias"], bias)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors"]


def test_save_takes_torch_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(sparse_matrix(12, 40, "float32")).bfloat16()
    a, bias = sg.compress(w), torch.ones(12, dtype=torch.bfloat16)
    save(tmp_path / "a.safetensors", {"up.weight": a, "up.bias": bias})
    found = load(tmp_path / "a.safetensors")
    assert isinstance(found["up.weight"], sg.Sparse24Tensor)
    assert np.array_equal(found["up.weight"].to_dense().astype(np.float32), w.float().numpy())
    assert found["up.bias"].dtype == ml_dtypes.bfloat16


def test_a_file_without_our_header_is_read_by_its_shapes(tmp_path: Path) -> None:
    """What safetensors.save_file writes of a compressed state dict."""
    w = sparse_matrix(12, 40, "float16")
    a = sg.compress(w)
    tf32 = make_golden.weights()["tf32.weight"]
    int4 = weight(12, 40, "int8").narrowed()
    save_file(
        {
            "a.values": a.values, "a.metadata": a.metadata, "a.bias": np.ones(12, np.float16),
            "t.values": tf32.values, "t.metadata": tf32.metadata,
            "i.values": int4.values, "i.metadata": int4.metadata,
            "i.scale": np.ones((12, 2), np.float16),
        },
        tmp_path / "a.safetensors",
    )  # fmt: skip
    found = decoded(tmp_path / "a.safetensors")
    assert equal(found["a.weight"].to_dense(), w)
    assert found["t.weight"].pattern == "1:2"
    assert equal(found["t.weight"].to_dense(), make_golden.dense_of("tf32.weight"))
    assert found["i.weight"].dtype == "int4"
    assert found["i.weight"].group_size == 32
    assert equal(found["i.weight"].elements(), int4.elements())


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for name in ("bias", "float32.values", "int4.metadata"):
        data = bytearray(make_golden.FILE.read_bytes())
        path.write_bytes(data)
        file = SafetensorsFile(path)
        at = file._begin + file._offsets[name]
        data[at] ^= 1
        path.write_bytes(data)
        report = inspect(path)
        assert not report.is_valid
        (wrong,) = (tensor for tensor in report.tensors if tensor.error)
        assert f"tensor {name} does not match its checksum" in wrong.error
        with pytest.raises(CheckpointError, match="checksum"):
            load(path)
        with pytest.raises(CheckpointError, match="checksum"):
            convert(path, tmp_path / "b.safetensors")
        assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    data = make_golden.FILE.read_bytes().replace(
        b'sparse_gemm.format":"1"', b'sparse_gemm.format":"2"'
    )
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a.safetensors: .*version '2'.*later"):
        inspect(tmp_path / "a.safetensors")


def test_saving_replaces_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, {"x": np.ones(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="cannot be stored"):
        save(path, {"x": np.zeros(3), "y": np.array(["no", "tensor"])})
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]
    save(path, {"x": np.zeros(3)})
    assert equal(load(path)["x"], np.zeros(3))


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        with atomic_folder(folder) as scratch:
            (scratch / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(tmp_path / "new")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("x")
    with pytest.raises(FileExistsError, match="exists already"):
        fail(tmp_path / "old")
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "file"]
    with atomic_folder(tmp_path / "new") as scratch:
        (scratch / "file").write_text("y")
    assert (tmp_path / "new" / "file").read_text() == "y"


def test_shards_and_their_index(tmp_path: Path) -> None:
    arrays = {f"x{i}": np.full(100, i, np.float32) for i in range(5)}
    with ModelWriter(tmp_path, metadata={}, weights_key="about", max_shard_bytes=1000) as writer:
        for i, (name, array) in enumerate(arrays.items()):
            writer.add({name: array, f"{name}.twin": array.astype(np.int8)}, {name: i})
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 5 * 500
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sorted(set(index["weight_map"].values())) == names
    checkpoint = Checkpoint(tmp_path)
    assert [file.name for file in checkpoint.files] == names
    for name, array in arrays.items():
        assert index["weight_map"][name] == index["weight_map"][f"{name}.twin"]
        assert equal(checkpoint.read(name), array)
    assert json.loads(SafetensorsFile(tmp_path / names[2]).metadata["about"]) == {"x4": 4}


def test_names_that_collide_are_refused(tmp_path: Path) -> None:
    writer = ModelWriter(tmp_path, metadata={}, weights_key=None, max_shard_bytes=10**6)
    writer.add({"x": np.ones(3)})
    with pytest.raises(CheckpointError, match="two tensors would be called 'x'"):
        writer.add({"x": np.ones(3)})


def test_wide_types_stand_first_so_that_all_are_aligned() -> None:
    file = SafetensorsFile(make_golden.FILE)
    offsets = [file._begin + file._offsets[name] for name in file.infos]
    sizes = [info.dtype.itemsize for info in file.infos.values()]
    assert file._begin % 8 == 0
    assert all(offset % size == 0 for offset, size in zip(offsets, sizes, strict=True))
    assert isinstance(next(iter(file.infos.values())), TensorInfo)
