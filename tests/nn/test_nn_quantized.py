"""SparseLinear with a quantised weight: how it is made, copied, saved and loaded on any machine."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import sparse_gemm as sg  # noqa: E402
from sparse_gemm import SparseLinear  # noqa: E402
from sparse_gemm.nn import compressed_state_dict  # noqa: E402

TYPES = ["int8", "int4", "float8_e4m3fn", "float8_e5m2"]
GROUP_SIZES = [None, 32, 128]
VALUES = {"int8": torch.int8, "int4": torch.uint8}

each_type = pytest.mark.parametrize("quantize", TYPES)
each_group_size = pytest.mark.parametrize("group_size", GROUP_SIZES)


def linear() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(200, 24).to(torch.bfloat16)


def layer(quantize: str, group_size: int | None) -> SparseLinear:
    return SparseLinear.from_linear(linear(), prune=True, quantize=quantize, group_size=group_size)


def empty_layer(quantize: str, group_size: int | None, **keywords: Any) -> SparseLinear:
    return SparseLinear(
        *(200, 24), dtype=torch.bfloat16, quantize=quantize, group_size=group_size, **keywords
    )


@each_group_size
@each_type
def test_the_weight_is_that_of_quantize(quantize: str, group_size: int | None) -> None:
    made = layer(quantize, group_size)
    a = sg.quantize(linear().weight.detach(), quantize, group_size=group_size, prune=True)
    assert made.compressed.group_size == group_size
    assert torch.equal(made.metadata, a.metadata)
    assert torch.equal(made.scale, a.scale)
    assert made.values.view(torch.uint8).equal(a.values.view(torch.uint8))
    assert made.nbytes == a.nbytes
    assert made.dtype is torch.bfloat16


@each_group_size
@each_type
def test_compressed_state_dicts_hold_the_scale(quantize: str, group_size: int | None) -> None:
    made = layer(quantize, group_size)
    state = compressed_state_dict(made)
    assert sorted(state) == ["bias", "metadata", "scale", "values"]
    for assign in (False, True):
        loaded = empty_layer(quantize, group_size, device="meta" if assign else None)
        loaded.load_state_dict(state, assign=assign)
        assert torch.equal(loaded.weight, made.weight)
        assert loaded.scale.dtype is made.scale.dtype
        assert loaded.values.dtype is VALUES.get(quantize, getattr(torch, quantize, None))


@each_type
def test_a_dense_weight_is_quantised_again(quantize: str) -> None:
    dense = linear()
    dense.weight.data = sg.prune(dense.weight.detach())
    loaded = empty_layer(quantize, 32)
    loaded.load_state_dict(dense.state_dict())
    assert torch.equal(loaded.weight, layer(quantize, 32).weight)
    with pytest.raises(RuntimeError, match="weight is not 2:4 sparse: row 0, group 0"):
        loaded.load_state_dict(linear().state_dict())


@each_type
def test_copies_and_files_keep_the_weight(quantize: str) -> None:
    made = layer(quantize, 128)
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    for other in (copy.deepcopy(made), torch.load(file, weights_only=False)):
        assert torch.equal(other.weight, made.weight)
        assert other.compressed.group_size == 128
        assert other.scale is not made.scale


def test_a_change_of_dtype_leaves_the_parts_alone() -> None:
    made = layer("int4", 32)
    parts = [part.clone() for part in (made.values, made.scale)]
    made.half()
    assert made.dtype is torch.float16
    assert made.scale.dtype is torch.bfloat16
    for part, before in zip((made.values, made.scale), parts, strict=True):
        assert torch.equal(part, before)


def test_the_view_is_kept_and_follows_the_buffers() -> None:
    made = layer("int4", 32)
    view = made.compressed
    assert made.compressed is view
    made.scale = made.scale * 2
    assert made.compressed is not view
    assert torch.equal(made.compressed.scale, made.scale)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scale": None}, "holds values and metadata; expected weight, or values together with"),
        ({"scale": torch.ones(24, 7)}, "scale has dtype torch.float32; expected .*bfloat16"),
        ({"scale": torch.ones(24, 6).bfloat16()}, r"mismatch for scale: found shape \(24, 6\)"),
        ({"values": torch.zeros(24, 50)}, "values has dtype torch.float32; expected .*uint8"),
        ({"values": torch.zeros(24, 49).byte()}, r"mismatch for values: .* expected \(24, 50\)"),
        ({"metadata": torch.zeros(24, 25).byte()}, "metadata does not fit values"),
    ],
)
def test_state_dicts_that_do_not_fit_are_refused_whole(change: dict[str, Any], match: str) -> None:
    made = layer("int4", 32)
    state = compressed_state_dict(made)
    loaded = empty_layer("int4", 32)
    before = loaded.weight
    wrong = {key: part for key, part in {**state, **change}.items() if part is not None}
    with pytest.raises(RuntimeError, match=match):
        loaded.load_state_dict(wrong)
    assert torch.equal(loaded.weight, before)


def test_a_layer_without_a_scale_takes_none() -> None:
    plain = SparseLinear(200, 24, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match="holds values and metadata and scale; expected weight"):
        plain.load_state_dict(compressed_state_dict(layer("int8", None)))
