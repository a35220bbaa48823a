"""torch's own converter and torch.save against our readers, and our writers against torch's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from checkpoint_cases import equal, halves, sparse_matrix

from sparse_gemm.checkpoints import CheckpointError, convert, inspect, load
from sparse_gemm.checkpoints.formats.torch_cutlass import decode_torch_cutlass, encode_torch_cutlass
from sparse_gemm.checkpoints.torch_file import TorchFile
from sparse_gemm.format.tensor import Sparse24Tensor

torch = pytest.importorskip("torch")
conversions = pytest.importorskip("torch.sparse._semi_structured_conversions")
DTYPES = ("float16", "bfloat16", "int8", "float32")


def dense_pair(dtype: str, rows: int, k: int) -> tuple[np.ndarray, torch.Tensor]:
    w = sparse_matrix(rows, k, dtype)
    w = halves(w) if dtype == "float32" else w
    return w, torch.from_numpy(w.astype(np.float32)).to(getattr(torch, dtype))


def to_numpy(tensor: torch.Tensor, dtype: np.dtype) -> np.ndarray:
    return tensor.view(torch.uint8).numpy().view(dtype)


@pytest.mark.parametrize(("rows", "k"), [(32, 64), (96, 192), (64, 320)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_torchs_converter_both_ways(dtype: str, rows: int, k: int) -> None:
    w, tensor = dense_pair(dtype, rows, k)
    packed, meta = conversions.sparse_semi_structured_from_dense_cutlass(tensor)
    found = decode_torch_cutlass(to_numpy(packed, w.dtype), meta.numpy())
    assert equal(found.to_dense(), w)
    ours = encode_torch_cutlass(found)
    assert equal(ours["meta"], meta.numpy())
    assert equal(ours["packed"], to_numpy(packed, w.dtype))


def semi_structured(tensor: torch.Tensor) -> torch.Tensor:
    packed, meta = conversions.sparse_semi_structured_from_dense_cutlass(tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.sparse.SparseSemiStructuredTensorCUTLASS(
            tensor.shape, packed=packed, meta=meta, packed_t=None, meta_t=None,
            compressed_swizzled_bitmask=None,
        )  # fmt: skip


@pytest.mark.parametrize("wrapped", ["plain", "parameter", "nested", "ordered"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_saved_semi_structured_tensor(dtype: str, wrapped: str, tmp_path: Path) -> None:
    w, tensor = dense_pair(dtype, 32, 128)
    sparse = semi_structured(tensor)
    if wrapped == "parameter":
        sparse = torch.nn.Parameter(sparse, requires_grad=False)
    other = torch.arange(12.0).reshape(3, 4).t()
    state = {"l.weight": sparse, "l.bias": torch.nn.Parameter(torch.ones(3)), "other": other}
    if wrapped == "nested":
        state = {"epoch": 3, "state_dict": state, "note": "text", "rate": 0.1, "big": 2**40}
    if wrapped == "ordered":
        model = torch.nn.Linear(4, 3)
        state = model.state_dict()
        state["l.weight"], state["other"] = sparse, other
    torch.save(state, tmp_path / "model.pt")
    loaded = load(tmp_path / "model.pt")
    assert isinstance(loaded["l.weight"], Sparse24Tensor)
    assert equal(loaded["l.weight"].to_dense(), w)
    assert equal(loaded["other"], other.numpy())
    report = inspect(tmp_path / "model.pt")
    assert report.is_valid
    assert report.tensors[0].format == "torch-cutlass"


def test_plain_tensors_of_every_kind_as_torch_reads_them(tmp_path: Path) -> None:
    base = torch.arange(60, dtype=torch.int16).reshape(3, 4, 5)
    state = {
        "view": base[1:, ::2, 1:4], "transposed": base.permute(2, 0, 1), "base": base,
        "bf16": torch.randn(4, 4).bfloat16(), "fp8": torch.randn(8).to(torch.float8_e4m3fn),
        "bool": torch.tensor([True, False]), "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "double": torch.randn(3, dtype=torch.float64), "u16": torch.ones(2, dtype=torch.uint16),
    }  # fmt: skip
    torch.save(state, tmp_path / "model.bin")
    file = TorchFile(tmp_path / "model.bin")
    assert list(file.infos) == list(state)
    for name, tensor in state.items():
        found = file.read(name)
        assert found.shape == tuple(tensor.shape)
        assert found.tobytes() == bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())
        assert bytes(file.raw(name)) == found.tobytes()


def test_cusparselt_says_how_to_convert(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = torch.sparse.SparseSemiStructuredTensorCUSPARSELT(
            torch.Size((128, 128)), packed=torch.zeros(128 * 72, dtype=torch.float16), meta=None,
            packed_t=None, meta_t=None, compressed_swizzled_bitmask=None,
        )  # fmt: skip
    torch.save({"l.weight": sparse}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"l.weight.*cuSPARSELt.*to_dense\(\)"):
        load(tmp_path / "model.pt")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_torch_reads_the_semi_structured_tensors_that_we_save(dtype: str, tmp_path: Path) -> None:
    w, tensor = dense_pair(dtype, 64, 128)
    odd = torch.ones(3, 5, dtype=torch.float64)
    torch.save({"l.weight": tensor, "odd": odd, "b": torch.ones(4).bfloat16()}, tmp_path / "in.pt")
    report = convert(tmp_path / "in.pt", tmp_path / "out.pt", to="torch-cutlass")
    assert report.converted == ["l.weight"]
    loaded = torch.load(tmp_path / "out.pt", weights_only=False)
    assert type(loaded["l.weight"]).__name__ == "SparseSemiStructuredTensorCUTLASS"
    assert torch.equal(loaded["l.weight"].to_dense(), tensor)
    assert torch.equal(loaded["odd"], odd)
    assert loaded["b"].dtype == torch.bfloat16
    again = load(tmp_path / "out.pt")["l.weight"]
    assert isinstance(again, Sparse24Tensor)
    assert equal(again.to_dense(), w)
    with pytest.raises(ValueError, match=r"expected a \.safetensors file for dense"):
        convert(tmp_path / "in.pt", tmp_path / "dense.pt", to="dense")
