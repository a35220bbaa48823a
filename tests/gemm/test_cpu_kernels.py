"""The CPU kernels, on every instruction set of this machine, against NumPy in float64."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isas import CORES, Core, in_use

import sparse_gemm as sg
from sparse_gemm import _C

FLOATS = (np.float32, np.float16, ml_dtypes.bfloat16)
DTYPES = (*FLOATS, np.int8)

# Around the bounds of the kernels: a vector (4, 8, 16), a row tile (2, 4), a task (64 rows, 128 of
# a panel), the last row_dot token count (16, 32), a panel (16, 32, 64, 128 tokens), a span of
# tokens (256), a k_tile (96, 128, 192), a chunk of them (192, 384), blocks of row_block (8 rows,
# 4 tokens), an expanded piece (512) and chunk (4096) of dense_panel.
M_EDGES = (1, 2, 3, 5, 63, 64, 65, 129)
N_EDGES = (1, 2, 4, 5, 16, 17, 32, 33, 49, 65, 129, 255, 257)
K_EDGES = (1, 3, 4, 5, 8, 31, 32, 63, 64, 65, 129, 391)


def small_integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Values whose products and sums are exact in every accumulator."""
    return rng.integers(-4, 5, shape).astype(dtype)


def exact_product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) @ w.astype(np.float64).T


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_linear_is_exact_on_integers_at_every_edge_of_the_tiles(isa: _C.Isa, dtype: type) -> None:
    rng = np.random.default_rng(1)
    for m, n, k in itertools.product(M_EDGES, N_EDGES, K_EDGES):
        w = sg.prune(small_integers(rng, (m, k), dtype))
        x = small_integers(rng, (n, k), dtype)
        y = sg.linear(x, sg.compress(w), out_dtype=np.int32 if dtype is np.int8 else np.float32)
        np.testing.assert_array_equal(y, exact_product(x, w), err_msg=f"M={m} N={n} K={k}")


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_products_are_exact_on_integers_over_several_chunks_of_k(isa: _C.Isa, dtype: type) -> None:
    rng = np.random.default_rng(4)
    out_dtype = np.int32 if dtype is np.int8 else np.float32
    for m, n, k in itertools.product((1, 9, 20), (3, 19, 260), (2047, 2048, 2111, 4132)):
        a = sg.compress(w := sg.prune(small_integers(rng, (m, k), dtype)))
        x = small_integers(rng, (n, k), dtype)
        expected, message = exact_product(x, w), f"M={m} N={n} K={k}"
        y = sg.linear(x, a, out_dtype=out_dtype)
        np.testing.assert_array_equal(y, expected, err_msg=message)
        d = sg.matmul(a, np.ascontiguousarray(x.T), out_dtype=out_dtype)
        np.testing.assert_array_equal(d, expected.T, err_msg=f"matmul, {message}")


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("n", [1, 7, 40], ids=lambda n: f"{n}_tokens")
def test_all_six_positions_and_all_group_fillings(isa: _C.Isa, dtype: type, n: int) -> None:
    """Every non-zero mask that 2:4 allows, at every place in a vector, ragged at the end."""
    masks = [m for m in itertools.product((0, 1), repeat=4) if sum(m) <= 2]
    row = np.concatenate([np.roll(masks, shift, axis=0).ravel() for shift in range(3)])
    w = np.stack([np.roll(row.reshape(-1, 4), shift, axis=0).ravel() for shift in range(5)])
    w = (w * np.arange(1, w.shape[1] + 1) % 7 * w).astype(dtype)[:, :-2]
    x = small_integers(np.random.default_rng(2), (n, w.shape[1]), dtype)
    y = sg.linear(x, sg.compress(w), out_dtype=np.int32 if dtype is np.int8 else np.float32)
    np.testing.assert_array_equal(y, exact_product(x, w))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("n", [1, 7, 40], ids=lambda n: f"{n}_tokens")
def test_places_past_k_meet_zeros_whatever_they_hold(isa: _C.Isa, dtype: type, n: int) -> None:
    """The second group of a row of five elements keeps its places 1 and 2: past the end."""
    kept = np.array([[1, 2, 3, 3]], dtype)
    metadata = np.array([[0x4 | 0x9 << 4]], np.uint8)
    a = sg.Sparse24Tensor(kept, metadata, (1, 5))
    x = np.ones((n, 5), dtype)
    y = sg.linear(x, a, out_dtype=np.int32 if dtype is np.int8 else np.float32)
    np.testing.assert_array_equal(y, np.full((n, 1), 3))


@pytest.mark.parametrize("n", [1, 17])
def test_int8_sums_are_exact_up_to_the_last_that_int32_holds(isa: _C.Isa, n: int) -> None:
    """Sums of a kernel that adds 128 to activations wrap on their way."""
    k = 262_140  # 131070 kept values: 127 * 127 times as many is just below 2^31
    w = np.tile(np.array([127, 127, 0, 0], np.int8), (1, k // 4))
    x = np.full((n, k), 127, np.int8)
    y = sg.linear(x, sg.compress(w), out_dtype=np.int32)
    np.testing.assert_array_equal(y, np.full((n, 1), 127 * 127 * (k // 2)))


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize(("m", "n", "k"), [(64, 1, 512), (33, 16, 1000), (70, 100, 770)])
def test_error_is_at_most_twice_that_of_the_dense_product(
    isa: _C.Isa, dtype: type, m: int, n: int, k: int
) -> None:
    rng = np.random.default_rng(3)
    w = sg.prune(rng.standard_normal((m, k)).astype(dtype))
    x = rng.standard_normal((n, k)).astype(dtype)
    exact = exact_product(x, w)
    dense = x.astype(np.float32) @ w.astype(np.float32).T
    y = sg.linear(x, sg.compress(w), out_dtype=np.float32)
    atol = 1e-6 * k**0.5  # a few units in the last place of sums of about sqrt(k)
    assert np.abs(y - exact).max() <= 2 * np.abs(dense - exact).max() + atol


def test_the_result_is_rounded_once_to_the_output_type(isa: _C.Isa) -> None:
    rng = np.random.default_rng(4)
    a = sg.compress(rng.standard_normal((40, 96)).astype(np.float32), policy="prune")
    for n in (3, 50):
        x = rng.standard_normal((n, 96)).astype(np.float32)
        y = sg.linear(x, a)
        for dtype in (np.float16, ml_dtypes.bfloat16):
            rounded = sg.linear(x, a, out_dtype=dtype)
            np.testing.assert_array_equal(rounded, y.astype(dtype))


def test_rounding_to_16_bits_is_to_nearest_even_up_to_infinity(isa: _C.Isa) -> None:
    """Ties, carries, subnormals and the edge of infinity, against NumPy and ml_dtypes."""
    a = sg.compress(np.ones((1, 1), np.float32))
    for dtype in (np.float16, ml_dtypes.bfloat16):
        info = ml_dtypes.finfo(dtype)
        eps, tiny = float(info.eps), float(info.smallest_subnormal)
        ties = [s * (1 + (i + 0.5) * eps) for i in range(64) for s in (1, -1, 1024.0)]
        subnormals = [(i + half) * tiny for i in range(64) for half in (0, 0.5, 0.25, 0.75)]
        top = float(info.max) * np.array([1, 1 + eps / 4.01, 1 + eps / 4, 1 + eps / 3.9, 1.01])
        with np.errstate(over="ignore"):
            x = np.concatenate([ties, subnormals, top, -top]).astype(np.float32)[:, None]
            expected = x.astype(dtype)
        for part in (slice(None), slice(0, 5), slice(-5, None)):  # panel, row_dot
            y = sg.linear(x[part], a, out_dtype=dtype)
            np.testing.assert_array_equal(y.view(np.uint16), expected[part].view(np.uint16))


def test_special_values_of_every_type_survive_widening_and_rounding(isa: _C.Isa) -> None:
    """Each 16-bit pattern times 1.0 comes out with its value; nans stay nans. Only vdpbf16ps takes
    subnormals for zero."""
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x = np.arange(2**16, dtype=np.uint16).view(dtype).reshape(-1, 1)
        a = sg.compress(np.ones((1, 1), dtype))
        is_flushed = dtype is ml_dtypes.bfloat16 and isa == _C.Isa.avx512_bf16
        row_dot = np.split(x[::97], range(8, len(x[::97]), 8))
        for part in (*np.array_split(x, 300), *row_dot):
            y = sg.linear(part, a).astype(np.float32)
            expected = part.astype(np.float32)
            if is_flushed:
                expected[np.abs(expected) < np.finfo(np.float32).tiny] = 0
            np.testing.assert_array_equal(y, expected)


def test_only_kept_weights_take_part(isa: _C.Isa) -> None:
    """inf times a pruned weight is absent, times a stored zero nan, as on the hardware."""
    for dtype, n in itertools.product(FLOATS, (1, 20, 70)):
        x = np.full((n, 4), np.inf, dtype)
        x[:, 1] = 2.0
        w = np.array([[0, 3, 0, 0]], dtype)  # stored as places 1 and 2: 3 and 0
        assert np.isnan(sg.linear(x, sg.compress(w)).astype(np.float32)).all()
        x[:, 2] = 5.0
        np.testing.assert_array_equal(sg.linear(x, sg.compress(w)), np.full((n, 1), 6, dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
def test_inf_and_nan_of_a_token_stay_with_it(isa: _C.Isa, dtype: type) -> None:
    """Tokens are multiplied side by side, and steps are filled up with zeros."""
    rng = np.random.default_rng(6)
    for n, k in itertools.product((20, 70, 300), (4, 20, 36, 100, 260)):
        w = sg.prune(rng.integers(1, 4, (5, k)).astype(dtype))
        x = rng.integers(1, 4, (n, k)).astype(dtype)
        x[n // 2] = np.inf
        x[n // 3] = np.nan
        y = sg.linear(x, sg.compress(w)).astype(np.float32)
        assert np.isposinf(y[n // 2]).all()
        assert np.isnan(y[n // 3]).all()
        finite = np.delete(np.arange(n), (n // 2, n // 3))
        expected = exact_product(x[finite], w).astype(dtype)
        np.testing.assert_array_equal(y[finite], expected.astype(np.float32))


@pytest.mark.parametrize("n", [33, 80])
def test_int8_sums_are_exact_whatever_the_signs(isa: _C.Isa, n: int) -> None:
    """Unsigned dot products need a correction for each row: it has to fit every position."""
    rng = np.random.default_rng(7)
    for k in (5, 64, 300, 1030):
        w = sg.prune(rng.integers(-128, 128, (37, k)).astype(np.int8))
        x = rng.integers(-128, 128, (n, k)).astype(np.int8)
        x[0], x[1] = -128, 127
        np.testing.assert_array_equal(sg.linear(x, sg.compress(w)), exact_product(x, w))


def test_activations_may_have_any_strides(isa: _C.Isa) -> None:
    rng = np.random.default_rng(8)
    for dtype, n in itertools.product(DTYPES, (19, 130)):
        w = sg.prune(small_integers(rng, (20, 70), dtype))
        x = small_integers(rng, (2 * n, 3 * 70), dtype)[::2, ::3]
        out_dtype = np.int32 if dtype is np.int8 else np.float32
        for view in (x, np.asfortranarray(x), x[:, ::-1][:, ::-1]):
            y = sg.linear(view, sg.compress(w), out_dtype=out_dtype)
            np.testing.assert_array_equal(y, exact_product(x, w))


def test_int8_reaches_the_extremes_and_saturates(isa: _C.Isa) -> None:
    k = 4096
    w = np.zeros((3, k), np.int8)
    w[:, ::4], w[:, 1::4] = -128, -128
    a = sg.compress(w)
    for n in (1, 30):
        x = np.full((n, k), -128, np.int8)
        np.testing.assert_array_equal(sg.linear(x, a), np.full((n, 3), k // 2 * 2**14, np.int32))
        np.testing.assert_array_equal(sg.linear(x, a, out_dtype=np.int8), 127)
        np.testing.assert_array_equal(sg.linear(x, a, alpha=-1.0, out_dtype=np.int8), -128)


def test_int8_rounds_to_nearest_even(isa: _C.Isa) -> None:
    w = np.ones((1, 1), np.int8)
    x = np.arange(-11, 12, dtype=np.int8).reshape(-1, 1)
    for part in (x, x[:3]):
        y = sg.linear(part, sg.compress(w), alpha=0.5, out_dtype=np.int8)
        np.testing.assert_array_equal(y, np.rint(part / 2).astype(np.int8))


TERMS = {
    "bias": lambda rng, m, n: rng.standard_normal(m).astype(np.float16),
    "x_scale": lambda rng, m, n: rng.standard_normal((n, 1)).astype(np.float32),
    "w_scale": lambda rng, m, n: rng.standard_normal(m).astype(np.float32),
    "residual": lambda rng, m, n: rng.standard_normal((n, m)).astype(ml_dtypes.bfloat16),
    "gate": lambda rng, m, n: rng.standard_normal((n, m)).astype(np.float32),
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    core=st.sampled_from(CORES),
    dtype=st.sampled_from(DTYPES),
    m=st.integers(0, 80),
    n=st.integers(0, 80),
    k=st.integers(0, 140),
    given_terms=st.sets(st.sampled_from(sorted(TERMS))),
    activation=st.sampled_from([None, "relu", "gelu", "gelu_tanh", "silu"]),
    alpha=st.sampled_from([1.0, -0.25]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_and_any_epilogue_agrees_with_the_reference(
    core: Core,
    dtype: type,
    m: int,
    n: int,
    k: int,
    given_terms: set[str],
    activation: str | None,
    alpha: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    w = sg.prune((rng.standard_normal((m, k)) * 3).astype(dtype))
    x = (rng.standard_normal((n, k)) * 3).astype(dtype)
    terms = {name: TERMS[name](rng, m, n) for name in sorted(given_terms)}
    keywords = {**terms, "activation": activation, "alpha": alpha, "out_dtype": np.float32}
    if "residual" in terms:
        keywords["beta"] = 0.5
    a = sg.compress(w)
    with in_use(*core):
        y = sg.linear(x, a, **keywords)
    expected = sg.reference.linear(x, a, **keywords)
    # The sum's rounding, carried through scales, activation (slope below 1.2) and gate.
    magnitude = float(
        (np.abs(x.astype(np.float64)) @ np.abs(w.astype(np.float64)).T).max(initial=0)
    )
    factor = 1.0
    for name in ("x_scale", "w_scale", "gate"):
        if name in terms:
            factor *= max(1.0, float(np.abs(terms[name]).max(initial=0)))
    tolerance = 2e-6 * (1 + magnitude * factor)
    assert y.shape == expected.shape == (n, m)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=tolerance)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "relu"])
def test_activations_are_accurate_over_the_whole_range(isa: _C.Isa, name: str) -> None:
    x = np.concatenate(
        [np.linspace(-90, 90, 20001), np.geomspace(1e-30, 90, 500), -np.geomspace(1e-30, 90, 500)]
    ).astype(np.float32)[:, None]
    a = sg.compress(np.ones((1, 1), np.float32))
    y = sg.linear(x, a, activation=name)
    expected = sg.reference.linear(x, a, activation=name)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-36)
    assert np.isnan(sg.linear(np.full((3, 1), np.nan, np.float32), a, activation=name)).all()
    large = sg.linear(np.full((20, 1), 3e38, np.float32), a, activation=name)
    np.testing.assert_array_equal(large, np.float32(3e38))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("n", [1, 12, 40, 300])
def test_the_number_of_threads_does_not_change_a_bit(isa: _C.Isa, dtype: type, n: int) -> None:
    rng = np.random.default_rng(5)
    m, k = 700, 512
    a = sg.compress((40 * rng.standard_normal((m, k))).astype(dtype), policy="prune")
    x = (40 * rng.standard_normal((n, k))).astype(dtype)
    out_dtype = np.int32 if dtype is np.int8 else np.float32
    code, out_code = (
        int(getattr(_C.DType, np.dtype(one).name).value) for one in (dtype, out_dtype)
    )
    results = []
    for threads in (1, 2, 3, 7):
        y = np.full((n, m), 77, out_dtype)
        matrix = (m, k, a.values.ctypes.data, a.metadata.ctypes.data, code, 0, 0, 0, 0, 0)
        dense = (n, 1, x.ctypes.data, code, 1, k, 0, y.ctypes.data, out_code, 1, m, 0)
        _C.gemm(*matrix, *dense, 0, 0, 1, 0, 0, 0, 0, 0, 0, threads, None)
        results.append(y.tobytes())
    assert {*results} == {sg.linear(x, a, out_dtype=out_dtype).tobytes()}
