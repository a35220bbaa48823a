"""What happens after the product on a device, against the reference: each term, all together."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Array, Library

import sparse_gemm as sg
from sparse_gemm import reference

M, K = 70, 68
TOKENS = (1, 5, 40, 130)
FLOAT16, BFLOAT16, FLOAT32 = map(np.dtype, (np.float16, ml_dtypes.bfloat16, np.float32))
ACTIVATIONS = (None, "relu", "gelu", "gelu_tanh", "silu")
# Of float32 arithmetic in the terms: a few roundings, and the activations' approximations.
RELATIVE = 2.0**-18


def operands(n: int, dtype: Any = FLOAT16) -> tuple[Array, Array, np.random.Generator]:
    rng = np.random.default_rng(n)
    w = reference.prune(rng.integers(-2, 3, (M, K)).astype(dtype))
    return w, rng.integers(-2, 3, (n, K)).astype(dtype), rng


def exact_terms(n: int, rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
    """Terms of integers and powers of two: the result is exact before it is rounded to its type."""
    scales = 2.0 ** np.arange(-1, 2)
    return {
        "bias": rng.integers(-8, 9, M).astype(dtype),
        "w_scale": rng.choice(scales, M).astype(FLOAT32),
        "x_scale": rng.choice(scales, n).astype(FLOAT32),
        "residual": rng.integers(-8, 9, (n, M)).astype(dtype),
    }


def on_device(library: Library, terms: dict[str, Any]) -> dict[str, Any]:
    return {
        name: library.put(term) if isinstance(term, np.ndarray) else term
        for name, term in terms.items()
    }


def check(library: Library, w: Array, x: Array, terms: dict[str, Any], exact: bool) -> None:
    out_dtype = terms.pop("out_dtype", FLOAT32)
    a = sg.compress(library.put(w), backend=library.backend)
    y = library.get(
        sg.linear(library.put(x), a, out_dtype=out_dtype.name, **on_device(library, terms))
    )
    stored = reference.compress(w)
    expected = reference.linear(x, stored, out_dtype=out_dtype, **terms).astype(np.float64)
    assert y.dtype == out_dtype
    if exact:
        np.testing.assert_array_equal(y.astype(np.float64), expected)
    else:
        eps = float(ml_dtypes.finfo(out_dtype).eps)
        bound = RELATIVE * (1 + np.abs(expected)) * K + eps * np.abs(expected)
        assert (np.abs(y.astype(np.float64) - expected) <= bound).all()


@pytest.mark.parametrize("out_dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", ["bias", "w_scale", "x_scale", "residual"])
def test_one_term_alone(device: Library, name: str, dtype: Any, out_dtype: Any) -> None:
    for n in TOKENS:
        w, x, rng = operands(n)
        terms = {name: exact_terms(n, rng, dtype)[name], "out_dtype": out_dtype}
        if name == "residual":
            terms["beta"] = 0.5
        check(device, w, x, terms, exact=True)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
def test_all_linear_terms_are_exact_on_integers(library: Library, dtype: Any) -> None:
    for n in TOKENS:
        w, x, rng = operands(n, dtype)
        terms = exact_terms(n, rng, FLOAT16) | {"alpha": 0.5, "beta": 2.0, "activation": "relu"}
        check(library, w, x, terms, exact=True)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_gate(device: Library, activation: str | None) -> None:
    for n in TOKENS:
        w, x, rng = operands(n)
        terms = {"activation": activation, "alpha": 0.125}
        check(device, w, x, dict(terms), exact=activation in (None, "relu"))
        terms |= exact_terms(n, rng, BFLOAT16) | {"beta": -1.0}
        terms["gate"] = rng.standard_normal((n, M)).astype(FLOAT16)
        check(device, w, x, dict(terms), exact=False)


def test_one_factor_for_all_and_a_scale_of_the_matrix(device: Library) -> None:
    w, x, rng = operands(9)
    two = np.full(1, 2.0, FLOAT32)
    check(device, w, x, {"x_scale": two, "w_scale": two}, exact=True)
    scale = rng.choice([0.5, 1.0, 2.0], M).astype(FLOAT32)
    a = sg.compress(device.put(w), backend=device.backend)
    scaled = sg.Sparse24Tensor(
        a.values, a.metadata, a.shape, scale=device.put(scale), backend=device.backend
    )
    expected = reference.linear(x, reference.compress(w), w_scale=scale)
    np.testing.assert_array_equal(device.get(sg.linear(device.put(x), scaled)), expected)


def test_terms_of_any_strides(library: Library) -> None:
    w, x, rng = operands(21)
    terms = exact_terms(21, rng, FLOAT16)
    a = sg.compress(library.put(w), backend=library.backend)
    apart = {
        "bias": library.put(np.repeat(terms["bias"], 2))[::2],
        "w_scale": library.put(np.repeat(terms["w_scale"], 3))[::3],
        "x_scale": library.put(terms["x_scale"][:, None]),
        "residual": library.put(terms["residual"].T).T,
    }
    y = library.get(sg.linear(library.put(x), a, beta=1.0, **apart))
    expected = reference.linear(x, reference.compress(w), beta=1.0, **terms)
    np.testing.assert_array_equal(y.astype(np.float32), expected.astype(np.float32))


def test_matmul_has_its_terms_along_the_right_dimensions(device: Library) -> None:
    w, x, rng = operands(12)
    terms = exact_terms(12, rng, FLOAT16)
    a = sg.compress(device.put(w), backend=device.backend)
    d = sg.matmul(
        a,
        device.put(x.T),
        bias=device.put(terms["bias"]),
        a_scale=device.put(terms["w_scale"]),
        b_scale=device.put(terms["x_scale"]),
        residual=device.put(terms["residual"].T),
        beta=1.0,
    )
    expected = reference.linear(x, reference.compress(w), beta=1.0, **terms)
    np.testing.assert_array_equal(device.get(d), expected.T)


@pytest.mark.parametrize("out_dtype", ["int8", "float32", "float16", "bfloat16"])
def test_integer_sums_are_scaled_and_requantised(library: Library, out_dtype: str) -> None:
    """Halves round to even, and what is beyond int8 becomes its nearest: all is exact."""
    for n in TOKENS:
        w, x, rng = operands(n, np.int8)
        x *= 3
        terms = exact_terms(n, rng, FLOAT32) | {"alpha": 0.5, "beta": 1.0}
        a = sg.compress(library.put(w), backend=library.backend)
        y = library.get(
            sg.linear(library.put(x), a, out_dtype=out_dtype, **on_device(library, terms))
        )
        sums = x.astype(np.float32) @ w.T.astype(np.float32)
        scaled = sums * 0.5 * terms["x_scale"][:, None] * terms["w_scale"] + terms["bias"]
        expected = scaled + terms["residual"]
        if out_dtype == "int8":
            assert not n > 1 or expected.max() > 127 > -128 > expected.min()
            assert n == 1 or (expected % 1 == 0.5).any()
            expected = np.clip(np.rint(expected), -128, 127)
        np.testing.assert_array_equal(y, expected.astype(y.dtype))
        assert y.dtype.name == out_dtype


def test_a_plain_integer_product_keeps_every_bit(library: Library) -> None:
    """Its sums need more bits than a float has."""
    w, x, _ = operands(40, np.int8)
    w, x = reference.prune(w * np.int8(60) + np.int8(7)), x * np.int8(60) + np.int8(5)
    a = sg.compress(library.put(w), backend=library.backend)
    expected = x.astype(np.int32) @ w.T.astype(np.int32)
    np.testing.assert_array_equal(library.get(sg.linear(library.put(x), a)), expected)
    row_major = library.get(sg.matmul(a, library.put(x.T)))
    np.testing.assert_array_equal(row_major, expected.T)


def test_what_is_no_number_requantises_to_the_nearest_or_zero(device: Library) -> None:
    w, x, _ = operands(5, np.int8)
    w, x = np.abs(w), np.abs(x) + np.int8(1)
    scale = np.resize(np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], FLOAT32), M)
    a = sg.compress(device.put(reference.prune(w)), backend=device.backend)
    y = device.get(sg.linear(device.put(x), a, w_scale=device.put(scale), out_dtype="int8"))
    signs = np.sign(np.nan_to_num(scale, nan=0.0))
    np.testing.assert_array_equal(y, np.tile(np.where(signs > 0, 127, signs * 128), (5, 1)))


def test_sums_in_float16_have_the_same_epilogue(device: Library) -> None:
    for n in TOKENS:
        w, x, rng = operands(n)
        terms = exact_terms(n, rng, FLOAT16) | {"beta": 1.0, "activation": "relu"}
        a = sg.compress(device.put(w), backend=device.backend)
        y = sg.linear(
            device.put(x),
            a,
            out_dtype="float32",
            accumulate="float16",
            **on_device(device, terms),
        )
        expected = reference.linear(x, reference.compress(w), out_dtype=FLOAT32, **terms)
        np.testing.assert_array_equal(device.get(y), expected)


@pytest.mark.parametrize("k_is_contiguous", [True, False])
def test_each_matrix_of_a_batch_has_its_own_residual_and_gate(
    device: Library, k_is_contiguous: bool
) -> None:
    rng = np.random.default_rng(0)
    w, _, _ = operands(1)
    b = rng.integers(-2, 3, (2, 3, K, 9)).astype(FLOAT16)
    residual, bias = rng.integers(-8, 9, (2, 3, M, 9)).astype(FLOAT32), np.arange(M, dtype=FLOAT32)
    gate = rng.standard_normal((2, 3, M, 9)).astype(FLOAT16)
    on = device.put(b.swapaxes(-1, -2)).swapaxes(-1, -2) if k_is_contiguous else device.put(b)
    a = sg.compress(device.put(w), backend=device.backend)
    terms = {"residual": device.put(residual), "beta": 2.0, "bias": device.put(bias)}
    d = device.get(sg.matmul(a, on, out_dtype="float32", **terms))
    product = w.astype(FLOAT32) @ b.astype(FLOAT32) + bias[:, None]
    np.testing.assert_array_equal(d, product + 2 * residual)
    gated = device.get(sg.matmul(a, on, out_dtype="float32", gate=device.put(gate), **terms))
    silu = gate.astype(np.float64) / (1 + np.exp(-gate.astype(np.float64)))
    expected = product * silu + 2 * residual
    assert np.abs(gated - expected).max() <= RELATIVE * (1 + np.abs(expected)).max() * K
