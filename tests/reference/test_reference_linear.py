"""The reference product against plain NumPy in float64, and what IEEE does at its edges."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from sparse_gemm import reference

TYPES = {
    name: np.dtype(getattr(ml_dtypes, name, None) or name)
    for name in (
        "float32",
        "float16",
        "bfloat16",
        "int8",
        "float8_e4m3fn",
        "float8_e5m2",
        "int4",
        "uint4",
    )
}
CASES = [(pattern, name) for pattern in reference.PATTERNS
         for name in reference.PATTERNS[pattern].dtypes]  # fmt: skip


def erf_gelu(v: float) -> float:
    return 0.5 * v * math.erfc(-v / math.sqrt(2))


def tanh_gelu(v: float) -> float:
    # 1 + tanh(u) = 2 * sigmoid(2u)
    return v / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


def sigmoid_silu(v: float) -> float:
    return v * 0.5 * (1 + math.tanh(v / 2))


ACTIVATIONS = {
    None: lambda v: v,
    "relu": lambda v: max(v, 0.0),
    "gelu": erf_gelu,
    "gelu_tanh": tanh_gelu,
    "silu": sigmoid_silu,
}


@pytest.mark.parametrize(("pattern", "name"), CASES)
@pytest.mark.parametrize("k", [3, 16, 45])
def test_product_is_that_of_the_dense_matrix(pattern: str, name: str, k: int) -> None:
    rng = np.random.default_rng(k)
    w = reference.prune(rng.integers(0, 8, (9, k)).astype(np.int8).astype(TYPES[name]), pattern)
    a = reference.compress(w, pattern)
    x = rng.integers(-8, 8, (2, 5, k)).astype(np.float32)
    y = reference.linear(x, a)
    assert y.dtype == np.float32
    expected = x.astype(np.float64) @ w.astype(np.float64).T
    assert np.array_equal(y, expected)  # integers this small are exact in float32
    assert np.array_equal(reference.matmul(a, x[0].T), expected[0].T)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_epilogue_is_the_formula(activation: str | None) -> None:
    rng = np.random.default_rng(0)
    tokens, k, out = 6, 20, 8
    w = reference.prune(rng.normal(size=(out, k)).astype(np.float32))
    x = rng.normal(size=(tokens, k)).astype(np.float32)
    bias, w_scale = rng.normal(size=(2, out)).astype(np.float32)
    x_scale = rng.normal(size=tokens).astype(np.float32)
    residual, gate = rng.normal(size=(2, tokens, out)).astype(np.float32)
    a = reference.compress(w)
    factors = {
        "activation": activation, "x_scale": x_scale, "w_scale": w_scale, "residual": residual,
        "gate": gate, "alpha": 0.75, "beta": -1.5,
    }  # fmt: skip
    y = reference.linear(x, a, bias, out_dtype=np.float64, **factors)

    product = x.astype(np.float64) @ w.astype(np.float64).T
    for t in range(tokens):
        for o in range(out):
            before = 0.75 * float(x_scale[t]) * float(w_scale[o]) * product[t, o] + float(bias[o])
            acted = ACTIVATIONS[activation](before)
            expected = sigmoid_silu(float(gate[t, o])) * acted - 1.5 * float(residual[t, o])
            assert y[t, o] == pytest.approx(expected, rel=1e-12, abs=1e-13)

    transposed = dict(factors, residual=residual.T, gate=gate.T)
    d = reference.matmul(a, x.T, bias=bias, out_dtype=np.float64, **transposed)
    assert np.array_equal(d, y.T)


def test_every_factor_is_optional_and_alone() -> None:
    w = np.array([[2, 0, 0, 3]], np.float32)
    a, x = reference.compress(w), np.array([[1, 5, 5, 1]], np.float32)
    assert reference.linear(x, a).item() == 5
    assert reference.linear(x, a, [10]).item() == 15
    assert reference.linear(x, a, alpha=2).item() == 10
    assert reference.linear(x, a, x_scale=[3]).item() == 15
    assert reference.linear(x, a, x_scale=[[3]]).item() == 15
    assert reference.linear(x, a, w_scale=4).item() == 20
    assert reference.linear(x, a, residual=[[7]]).item() == 5  # beta is 0
    assert reference.linear(x, a, residual=[[7]], beta=2).item() == 19
    assert reference.linear(x, a, gate=[[0]]).item() == 0


def test_int8_accumulates_exactly_and_its_result_types() -> None:
    k = 1 << 16
    w = np.tile(np.array([-128, -128, 0, 0], np.int8), k // 4)[None]
    a, x = reference.compress(w), np.full((1, k), 127, np.int8)
    y = reference.linear(x, a)
    assert y.dtype == np.int32
    assert y.item() == -128 * 127 * k // 2
    assert reference.linear(x, a, x_scale=[0.5]).dtype == np.float32
    assert reference.linear(x, a, w_scale=[0.5]).dtype == np.float32
    # Past int32, the result saturates.
    w = np.tile(w, 8)
    assert reference.linear(np.tile(x, 8), reference.compress(w)).item() == -(2**31)


def test_int8_results_round_to_nearest_even_and_saturate() -> None:
    w = np.array([[1, 0, 0, 0]], np.int8)
    a = reference.compress(w)
    x = np.array([[1], [3], [5], [-1], [-3], [127], [-128]], np.int8) * np.array(
        [[1, 0, 0, 0]], np.int8
    )
    halves = reference.linear(x, a, w_scale=[0.5], out_dtype=np.int8)
    assert halves.ravel().tolist() == [0, 2, 2, 0, -2, 64, -64]
    large = reference.linear(x, a, w_scale=[100.0], out_dtype=np.int8)
    assert large.ravel().tolist() == [100, 127, 127, -100, -128, 127, -128]
    scale = [np.nan, np.inf, -np.inf, 1, 1, 1, 1]
    assert reference.linear(x, a, x_scale=scale, out_dtype=np.int8).ravel()[:3].tolist() == [
        0,
        127,
        -128,
    ]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_result_is_rounded_once(name: str) -> None:
    # 1 + half a unit + a little must round up; by way of float32 it would round down to 1.
    unit = float(ml_dtypes.finfo(TYPES[name]).eps)
    a = reference.compress(np.array([[1, 0, 1, 0]], np.float32))
    x = np.array([[1 + unit / 2, 0, 2.0**-40, 0], [1 + unit / 2, 0, -(2.0**-40), 0]], np.float64)
    y = reference.linear(x, a, out_dtype=TYPES[name]).astype(np.float64)
    assert y.ravel().tolist() == [1 + unit, 1]


def test_a_pruned_place_contributes_nothing_and_a_stored_zero_does() -> None:
    w = np.array([[1, 0, 0, 2], [0, 0, 0, 0]], np.float32)  # stores places 0, 3 and 2, 3
    a = reference.compress(w)
    x = np.array([[1, np.inf, 0, 1], [1, np.nan, 0, 1], [1, 0, np.inf, 1]], np.float32)
    y = reference.linear(x, a)
    assert y[:, 0].tolist() == [3, 3, 3]
    assert y[:2, 1].tolist() == [0, 0]
    assert math.isnan(y[2, 1])  # 0 * inf


def test_shapes_with_nothing_in_them() -> None:
    a = reference.compress(np.zeros((3, 8), np.float32))
    assert reference.linear(np.zeros((0, 8), np.float32), a).shape == (0, 3)
    assert reference.linear(np.zeros((2, 0, 8), np.float32), a).shape == (2, 0, 3)
    assert reference.linear(np.zeros(8, np.float32), a).shape == (3,)
    empty = reference.compress(np.zeros((3, 0), np.float32))
    assert np.array_equal(reference.linear(np.zeros((2, 0), np.float32), empty, [1, 2, 3]),
                          [[1, 2, 3]] * 2)  # fmt: skip
    none = reference.compress(np.zeros((0, 8), np.float32))
    assert reference.linear(np.zeros((2, 8), np.float32), none).shape == (2, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bias", np.zeros(4)), ("w_scale", np.zeros((3, 1))), ("x_scale", np.zeros(3)),
        ("residual", np.zeros((3, 2))), ("gate", np.zeros((2, 4))), ("activation", "tanh"),
    ],
)  # fmt: skip
def test_bad_factors_are_named(name: str, value: object) -> None:
    a = reference.compress(np.zeros((3, 8), np.float32))
    with pytest.raises(ValueError, match=f"^{name} "):
        reference.linear(np.zeros((2, 8), np.float32), a, **{name: value})


def test_mismatched_k_is_named() -> None:
    a = reference.compress(np.zeros((3, 8), np.float32))
    with pytest.raises(ValueError, match=r"^x has shape \(2, 12\).*\(3, 8\)"):
        reference.linear(np.zeros((2, 12), np.float32), a)
