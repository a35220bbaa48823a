"""The short way of `linear` on torch tensors against the long one: the same bits, or not taken."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import sparse_gemm as sg  # noqa: E402
from sparse_gemm.gemm import eager  # noqa: E402
from sparse_gemm.gemm.epilogue import Terms  # noqa: E402
from sparse_gemm.torch_glue import shortcut  # noqa: E402

OUT, IN = 30, 128
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def weight(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return sg.prune(torch.randn(OUT, IN, generator=generator).to(dtype))


def inputs(*leading: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*leading, IN, generator=torch.Generator().manual_seed(1)).to(dtype)


def both_ways(
    x: torch.Tensor, a: sg.Sparse24Tensor, bias: torch.Tensor | None, activation: str | None
) -> tuple[torch.Tensor | None, torch.Tensor]:
    long = eager.linear(x, a, Terms(bias, activation), eager.Options())
    return shortcut.linear(x, a, bias, activation), long


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("leading", [(5,), (2, 3), (1, 1), (2, 1, 3), (), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_same_bits_for_any_leading_dimensions(
    dtype: torch.dtype, leading: tuple[int, ...], has_bias: bool, activation: str | None
) -> None:
    bias = torch.arange(OUT).to(dtype) if has_bias else None
    x = inputs(*leading, dtype=dtype)
    short, long = both_ways(x, sg.compress(weight(dtype)), bias, activation)
    assert short is not None
    assert (short.shape, short.dtype) == (long.shape, long.dtype)
    assert short.stride() == long.stride()
    assert torch.equal(short, long)


@pytest.mark.parametrize("group_size", [None, 64])
@pytest.mark.parametrize("kind", ["int8", "int4", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("leading", [(5,), (2, 3)], ids=str)
def test_the_same_bits_for_weights_of_few_bits(
    leading: tuple[int, ...], dtype: torch.dtype, kind: str, group_size: int | None
) -> None:
    scaled = sg.quantize(weight(), kind, group_size=group_size)
    unscaled = sg.Sparse24Tensor(scaled.values, scaled.metadata, scaled.shape)
    for a in (scaled, unscaled):
        for bias in (None, torch.arange(OUT).to(dtype)):
            short, long = both_ways(inputs(*leading, dtype=dtype), a, bias, "silu")
            assert short is not None
            assert short.dtype == dtype
            assert torch.equal(short, long)


def turned_away() -> dict[str, Any]:
    x, a = inputs(6), sg.compress(weight())
    int8 = sg.quantize(weight())
    one_scale = sg.Sparse24Tensor(int8.values, int8.metadata, int8.shape, scale=torch.ones(1))
    batch = sg.compress(torch.stack([weight(), weight()]))
    return {
        "strided": (x[::2], a, None, None),
        "strided in front": (inputs(2, 6)[:, ::2], a, None, None),
        "K last but one": (inputs(2, IN).mT[0], a, None, None),
        "negative by flag": (torch._neg_view(x), a, None, None),
        "another type": (x.half(), a, None, None),
        "integers": (torch.ones(6, IN, dtype=torch.int8), int8, None, None),
        "another K": (x[:, :64].contiguous(), a, None, None),
        "no dimension": (torch.ones(()), a, None, None),
        "a gradient": (inputs(6).requires_grad_(), a, None, None),
        "a bias of another type": (x, a, torch.ones(OUT).half(), None),
        "a bias of another shape": (x, a, torch.ones(OUT, 1), None),
        "no such activation": (x, a, None, "swish"),
        "a scale for the whole matrix": (x, one_scale, None, None),
        "a batch of matrices": (x, batch, None, None),
        "a meta tensor": (x.to("meta"), a, None, None),
        "no matrix": (x, weight(), None, None),
    }


@pytest.mark.parametrize("case", turned_away())
def test_anything_else_takes_the_long_way(case: str) -> None:
    assert shortcut.linear(*turned_away()[case]) is None
