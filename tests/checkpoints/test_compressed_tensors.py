"""The writers of compressed-tensors 0.12.2 against our readers, and byte for byte against ours."""

from __future__ import annotations

import numpy as np
import pytest
from checkpoint_cases import dtype_of, equal, sparse_matrix

from sparse_gemm.checkpoints.formats import WRITABLE, Context, Entry
from sparse_gemm.checkpoints.formats.marlin24 import encode_marlin24
from sparse_gemm.checkpoints.weight import Weight

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
pytest.importorskip(
    "compressed_tensors.compressors.sparse_compressors",
    reason="needs the package compressed-tensors 0.12.2, the last to write these formats",
)

from compressed_tensors.compressors import sparse_compressors  # noqa: E402
from compressed_tensors.compressors.sparse_quantized_compressors import (  # noqa: E402
    marlin_24,
)
from compressed_tensors.quantization import (  # noqa: E402
    QuantizationArgs,
    QuantizationScheme,
)

ENTRY = Entry("l.weight", {"packed": "l.weight_packed"})


def torch_of(w: np.ndarray) -> torch.Tensor:
    dtype = getattr(torch, w.dtype.name)
    return torch.from_numpy(np.ascontiguousarray(w).view(np.uint8)).view(dtype).reshape(w.shape)


def numpy_of(tensor: torch.Tensor) -> np.ndarray:
    flat = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    name = str(tensor.dtype).rpartition(".")[2]
    return flat.view(dtype_of(name)).reshape(tuple(tensor.shape))


def by_name(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name.rpartition(".")[2]: numpy_of(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(("rows", "k"), [(16, 64), (5, 12), (33, 100)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8", "float8_e4m3fn"])
def test_24_bitmask(dtype: str, rows: int, k: int) -> None:
    w = sparse_matrix(rows, k, dtype, low=-7)
    tensor = sparse_compressors.Sparse24BitMaskTensor.from_dense(torch_of(w))
    parts = by_name(tensor.dict("l"))
    found = WRITABLE["sparse-24-bitmask"].decode(parts, ENTRY, Context())
    assert isinstance(found, Weight)
    assert equal(found.to_dense(), w)
    encode = WRITABLE["sparse-24-bitmask"].encode
    assert encode is not None
    theirs = sparse_compressors.Sparse24BitMaskTensor.from_compressed_data(
        **{name: torch_of(part) for name, part in encode(found).items()}
    )
    assert equal(numpy_of(theirs.decompress()), w)


def test_24_bitmask_is_byte_for_byte_theirs_where_two_places_are_kept() -> None:
    rng = np.random.default_rng(2)
    w = rng.integers(1, 9, (32, 16, 4)).astype(np.float16)
    order = rng.random((32, 16, 4)).argsort(axis=-1)
    np.put_along_axis(w, order[..., :2], 0, axis=-1)
    w = w.reshape(32, 64)
    parts = by_name(sparse_compressors.Sparse24BitMaskTensor.from_dense(torch_of(w)).dict("l"))
    target = WRITABLE["sparse-24-bitmask"]
    found = target.decode(parts, ENTRY, Context())
    assert isinstance(found, Weight)
    assert target.encode is not None
    ours = target.encode(found)
    assert all(equal(ours[name], part) for name, part in parts.items())


@pytest.mark.parametrize(("rows", "k"), [(16, 64), (5, 11), (33, 100)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8"])
def test_bitmask_byte_for_byte(dtype: str, rows: int, k: int) -> None:
    w = sparse_matrix(rows, k, dtype)
    theirs = by_name(sparse_compressors.BitmaskTensor.from_dense(torch_of(w)).dict("l", "cpu"))
    target = WRITABLE["sparse-bitmask"]
    found = target.decode(theirs, ENTRY, Context())
    assert isinstance(found, Weight)
    assert equal(found.to_dense(), w)
    assert target.encode is not None
    ours = target.encode(found)
    assert set(ours) == set(theirs)
    assert all(equal(ours[name], part) for name, part in theirs.items())


def test_bitmask_of_a_matrix_that_is_not_2_of_4_is_dense() -> None:
    w = np.random.default_rng(0).integers(-2, 3, (9, 20)).astype(np.float16)
    theirs = by_name(sparse_compressors.BitmaskTensor.from_dense(torch_of(w)).dict("l", "cpu"))
    found = WRITABLE["sparse-bitmask"].decode(theirs, ENTRY, Context())
    assert isinstance(found, np.ndarray)
    assert equal(found, w)


@pytest.mark.parametrize(("rows", "k"), [(128, 128), (128, 256), (256, 384), (384, 1024)])
@pytest.mark.parametrize("strategy", ["channel", "group"])
@pytest.mark.parametrize("bits", [4, 8])
def test_marlin_24_byte_for_byte(bits: int, strategy: str, rows: int, k: int) -> None:
    """A weight that their quantiser turns into known integers: those and their scales come out."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    q = sparse_matrix(rows, k, "int8", low=low, high=high + 1)
    groups = k // 128 if strategy == "group" else 1
    scale = (2.0 ** np.random.default_rng(1).integers(-6, 0, (rows, groups))).astype(np.float16)
    w = q.astype(np.float32) * scale.astype(np.float32).repeat(k // groups, axis=1)
    arguments = QuantizationArgs(
        num_bits=bits, strategy=strategy, group_size=128 if strategy == "group" else None
    )
    compressor = marlin_24.Marlin24Compressor()
    theirs = by_name(
        compressor.compress(
            {"l.weight": torch_of(w), "l.weight_scale": torch_of(scale)},
            {"l": QuantizationScheme(targets=["Linear"], weights=arguments)},
        )
    )
    parts = {
        "packed": theirs["weight_packed"], "meta": theirs["meta"], "scales": theirs["scale_packed"],
    }  # fmt: skip
    found = WRITABLE["marlin-24"].decode(parts, ENTRY, Context())
    assert isinstance(found, Weight)
    assert found.dtype == f"int{bits}"
    assert equal(found.elements(), q)
    assert equal(found.to_dense(), w.astype(np.float16))
    ours = encode_marlin24(found, is_gptq=False)
    assert all(equal(ours[name], part) for name, part in parts.items())
