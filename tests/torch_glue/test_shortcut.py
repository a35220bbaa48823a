"""The short way of `linear` on torch tensors against the long one: the same bits, or not taken."""

from __future__ import annotations

import warnings
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
    x: torch.Tensor,
    a: sg.Sparse24Tensor,
    bias: torch.Tensor | None = None,
    activation: str | None = None,
    *,
    w_scale: torch.Tensor | None = None,
    x_scale: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    terms = Terms(bias, activation, w_scale, x_scale)
    long = eager.linear(x, a, terms, eager.Options(out_dtype=out_dtype))
    arguments = (x, a, bias, activation, w_scale, x_scale, out_dtype)
    short, asked_by_python = shortcut.linear(*arguments), shortcut._linear(*arguments)
    assert short is not None
    assert asked_by_python is not None
    assert torch.equal(short, asked_by_python)
    assert (short.shape, short.dtype, short.stride()) == (long.shape, long.dtype, long.stride())
    return short, long


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
            assert short.dtype == dtype
            assert torch.equal(short, long)


@pytest.mark.parametrize("out_dtype", [None, *FLOATS, torch.int8], ids=str)
@pytest.mark.parametrize("leading", [(5,), (2, 3), ()], ids=str)
def test_the_same_bits_for_integers_and_their_scales(
    leading: tuple[int, ...], out_dtype: torch.dtype | None
) -> None:
    a = sg.quantize(weight())
    unscaled = sg.Sparse24Tensor(a.values, a.metadata, a.shape)
    x = inputs(*leading).mul(40).round().to(torch.int8)
    per_token = torch.rand(leading) + 0.5
    one, bias = torch.full((1,), 0.01), torch.arange(OUT).bfloat16()
    calls: list[tuple[sg.Sparse24Tensor, dict[str, Any]]] = [
        (a, {}),
        (a, {"x_scale": per_token, "bias": bias}),
        (a, {"x_scale": per_token[..., None], "activation": "relu"}),
        (unscaled, {"x_scale": one, "w_scale": a.scale}),
        (a, {"w_scale": a.scale[:, None] * 2}),
        (a, {"w_scale": one[0], "bias": bias.float()}),
        (unscaled, {"bias": bias}),
    ]
    for matrix, terms in calls:
        short, long = both_ways(x, matrix, out_dtype=out_dtype, **terms)
        assert short.dtype == (out_dtype or torch.float32)
        assert torch.equal(short, long)


@pytest.mark.parametrize("out_dtype", [None, torch.int32], ids=str)
def test_the_same_exact_integers(out_dtype: torch.dtype | None) -> None:
    a = sg.quantize(weight())
    exact = sg.Sparse24Tensor(a.values, a.metadata, a.shape)
    x = inputs(7).mul(40).round().to(torch.int8)
    short, long = both_ways(x, exact, out_dtype=out_dtype)
    assert short.dtype is torch.int32
    assert torch.equal(short, long)


@pytest.mark.parametrize("out_dtype", FLOATS, ids=str)
def test_the_same_bits_for_another_result_type(out_dtype: torch.dtype) -> None:
    for dtype in FLOATS:
        bias = torch.arange(OUT).to(out_dtype)
        x, a = inputs(5, dtype=dtype), sg.compress(weight(dtype))
        short, long = both_ways(x, a, bias, out_dtype=out_dtype)
        assert torch.equal(short, long)


def without_memory() -> torch.Tensor:
    """As parameters are while their memory is elsewhere."""
    term = torch.ones(OUT)
    term.untyped_storage().resize_(0)
    return term


def unusual_layouts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two nested tensors, an x and a scale, and a sparse bias."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls both unfinished
        nested = (torch.nested.nested_tensor([torch.ones(n)]) for n in (IN, OUT))
        return *nested, torch.ones(1, OUT).to_sparse_csr()


def turned_away() -> dict[str, dict[str, Any]]:
    nested_x, nested_scale, sparse_bias = unusual_layouts()
    x, a = inputs(6), sg.compress(weight())
    int8 = sg.quantize(weight())
    groups = sg.quantize(weight(), group_size=64)
    integers = torch.ones(6, IN, dtype=torch.int8)
    batch = sg.compress(torch.stack([weight(), weight()]))
    cases: dict[str, dict[str, Any]] = {
        "strided": {"x": x[::2]},
        "strided in front": {"x": inputs(2, 6)[:, ::2]},
        "K last but one": {"x": inputs(2, IN).mT[0]},
        "negative by flag": {"x": torch._neg_view(x)},
        "another type": {"x": x.half()},
        "another K": {"x": x[:, :64].contiguous()},
        "no dimension": {"x": torch.ones(())},
        "a gradient": {"x": inputs(6).requires_grad_()},
        "a meta tensor": {"x": x.to("meta")},
        "a sparse tensor": {"x": x.to_sparse()},
        "an array of another library": {"x": x.numpy()},
        "a bias of another shape": {"bias": torch.ones(OUT, 1)},
        "a strided bias": {"bias": torch.ones(2 * OUT)[::2]},
        "a bias of integers": {"bias": torch.ones(OUT, dtype=torch.int32)},
        "a bias with a gradient": {"bias": torch.ones(OUT, requires_grad=True)},
        "a bias of another library": {"bias": torch.ones(OUT).numpy()},
        "a nested tensor": {"x": nested_x},
        "a sparse bias": {"bias": sparse_bias},
        "a bias without memory": {"bias": without_memory()},
        "no such activation": {"activation": "swish"},
        "no name of an activation": {"activation": []},
        "a scale of another shape": {"w_scale": torch.ones(OUT - 1)},
        "a scale without memory": {"w_scale": without_memory()},
        "a nested scale": {"w_scale": nested_scale},
        "a scale of another type": {"w_scale": torch.ones(OUT).double()},
        "a strided scale": {"x_scale": torch.ones(12)[::2]},
        "a scale for other tokens": {"x_scale": torch.ones(7)},
        "a result type by name": {"out_dtype": "float16"},
        "no result type": {"out_dtype": []},
        "no such result type": {"out_dtype": torch.float64},
        "a rounded result as int32": {"x": integers, "a": int8, "out_dtype": torch.int32},
        "int32 of floating-point numbers": {"out_dtype": torch.int32},
        "integers by scales of groups": {"x": integers, "a": groups},
        "a batch of matrices": {"a": batch},
        "no matrix": {"a": weight()},
    }
    plain = {"x": x, "a": a, "bias": None, "activation": None}
    return {name: plain | case for name, case in cases.items()}


@pytest.mark.parametrize("case", turned_away())
def test_anything_else_takes_the_long_way(case: str) -> None:
    assert shortcut.linear(**turned_away()[case]) is None


def test_cpp_takes_plain_calls_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch has DLPack's C exchange API; elsewhere Python does, by the same rules."""
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        pytest.skip("this torch lacks DLPack's C exchange API")
    monkeypatch.setattr(shortcut, "_linear", lambda *_: pytest.fail("asked by Python"))
    x, scale = inputs(2, 3), torch.rand(2, 3, 1)
    bias = torch.nn.Parameter(torch.ones(OUT), requires_grad=False)
    for a in (sg.compress(weight()), sg.quantize(weight(), "int4", group_size=64)):
        assert shortcut.linear(x, a, None, None) is not None
        assert shortcut.linear(x, a, bias, "silu", None, scale, torch.bfloat16) is not None


@pytest.mark.parametrize("case", turned_away())
def test_python_turns_away_what_cpp_does(case: str) -> None:
    arguments = {"w_scale": None, "x_scale": None, "out_dtype": None} | turned_away()[case]
    assert shortcut._linear(**arguments) is None
