"""Weights of 8 and 4 bits with floating-point activations, on every instruction set there is here,
against the NumPy reference (float64) and against ml_dtypes."""

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

WEIGHTS = ("int8", "int4", "float8_e4m3fn", "float8_e5m2")
DENSE = (np.float32, np.float16, ml_dtypes.bfloat16)
GROUP_SIZES = (None, 32, 64, 128)

# Around a step's elements of K (8, 16, 32, 64), two of them, groups of scales; and one more.
K_EDGES = (1, 4, 7, 8, 15, 16, 31, 32, 36, 63, 64, 65, 100, 128, 129, 260)


def small_integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Pruned values that every type holds, whose products and sums are exact."""
    return sg.prune(rng.integers(-4, 5, shape).astype(np.dtype(dtype)))


@pytest.mark.parametrize("dense", DENSE, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("dtype", WEIGHTS)
def test_linear_is_exact_on_integers(isa: _C.Isa, dtype: str, dense: type) -> None:
    rng = np.random.default_rng(1)
    for m, n, k in itertools.product((1, 3, 4, 65), (1, 2, 3, 4, 5, 17, 40), K_EDGES):
        w = small_integers(rng, (m, k), dtype)
        x = rng.integers(-4, 5, (n, k)).astype(dense)
        y = sg.linear(x, sg.compress(w), out_dtype=np.float32)
        exact = x.astype(np.float64) @ w.astype(np.float64).T
        np.testing.assert_array_equal(y, exact, err_msg=f"M={m} N={n} K={k}")


@pytest.mark.parametrize("dense", DENSE, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("dtype", WEIGHTS)
@pytest.mark.parametrize("n", [1, 4, 30])
def test_every_code_of_a_type_has_its_value(isa: _C.Isa, dtype: str, dense: type, n: int) -> None:
    """Each code alone in a row, at each place of a group, nan and infinity among them."""
    bytes_ = np.arange(256, dtype=np.uint8)
    of_4_bits = np.arange(-8, 8).astype(ml_dtypes.int4)
    values = of_4_bits if dtype == "int4" else bytes_.view(np.dtype(dtype))
    for place in range(4):
        w = np.zeros((len(values), 68), np.dtype(dtype))
        w[:, 64 + place] = values
        x = np.zeros((n, 68), dense)
        x[:, 64 + place] = 1
        y = sg.linear(x, sg.compress(w), out_dtype=np.float32)
        np.testing.assert_array_equal(y, np.tile(values.astype(np.float32), (n, 1)))


@pytest.mark.parametrize("dense", DENSE, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("dtype", WEIGHTS)
@pytest.mark.parametrize("scale_dtype", [np.float16, ml_dtypes.bfloat16], ids=lambda d: d.__name__)
def test_scaled_weights_are_rounded_to_the_activations_type(
    isa: _C.Isa, dtype: str, dense: type, scale_dtype: type
) -> None:
    """One weight times one, for many codes and scales: the sum is the weight, to the last bit."""
    rng = np.random.default_rng(2)
    for group_size in (32, 64, 128):
        w = sg.prune(rng.standard_normal((70, 300)).astype(scale_dtype))
        a = sg.quantize(w, dtype, group_size=group_size)
        for columns in (range(0, 300, 7), (1, 299)):
            x = np.eye(300, dtype=dense)[list(columns)]
            y = sg.linear(x, a, out_dtype=np.float32)
            expected = sg.reference.linear(x, a, out_dtype=np.float32)
            np.testing.assert_array_equal(y, expected)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    core=st.sampled_from(CORES),
    dtype=st.sampled_from(WEIGHTS),
    dense=st.sampled_from(DENSE),
    group_size=st.sampled_from(GROUP_SIZES),
    m=st.integers(0, 70),
    n=st.integers(0, 40),
    k=st.integers(0, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_agrees_with_the_reference(
    core: Core,
    dtype: str,
    dense: type,
    group_size: int | None,
    m: int,
    n: int,
    k: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    w = (rng.standard_normal((m, k)) * 3).astype(np.float32)
    a = sg.quantize(w, dtype, group_size=group_size, prune=True)
    x = rng.standard_normal((n, k)).astype(dense)
    bias = rng.standard_normal(m).astype(np.float32)
    with in_use(*core):
        y = sg.linear(x, a, bias, activation="silu", out_dtype=np.float32)
    expected = sg.reference.linear(
        x, a, bias, activation="silu", w_scale=_row_scale(a), out_dtype=np.float32
    )
    magnitude = np.abs(x.astype(np.float64)) @ np.abs(a.to_dense().astype(np.float64)).T
    row_scale = 1.0 if group_size is not None or not a.scale.size else float(a.scale.max())
    tolerance = 2e-6 * (1 + row_scale * float(magnitude.max(initial=0)))
    assert y.shape == expected.shape == (n, m)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=tolerance)


def _row_scale(a: sg.Sparse24Tensor) -> np.ndarray | None:
    return a.scale if a.group_size is None else None


@pytest.mark.parametrize("group_size", GROUP_SIZES)
@pytest.mark.parametrize("dtype", WEIGHTS)
@pytest.mark.parametrize("n", [1, 12, 40])
def test_the_number_of_threads_does_not_change_a_bit(
    isa: _C.Isa, dtype: str, group_size: int | None, n: int
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    w = torch.from_numpy(rng.standard_normal((700, 256)).astype(np.float32))
    a = sg.quantize(w, dtype, group_size=group_size, prune=True)
    x = torch.from_numpy(rng.standard_normal((n, 256)).astype(np.float32)).bfloat16()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(sg.linear(x, a))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_matmul_of_a_batch_with_group_scales(isa: _C.Isa) -> None:
    rng = np.random.default_rng(4)
    w = rng.standard_normal((3, 20, 128)).astype(np.float16)
    a = sg.quantize(w, "int4", group_size=64, prune=True)
    b = rng.standard_normal((3, 128, 5)).astype(np.float16)
    d = sg.matmul(a, b, out_dtype=np.float32)
    for i in range(3):
        exact = a.to_dense()[i]
        scaled = exact.astype(np.float64) * np.repeat(a.scale[i].astype(np.float64), 64, axis=1)
        rounded = scaled.astype(np.float16).astype(np.float64)
        np.testing.assert_allclose(d[i], rounded @ b[i].astype(np.float64), atol=1e-4)


def test_a_row_does_not_feel_the_scales_of_the_next(isa: _C.Isa) -> None:
    """K ends in the middle of a step; the next row's scale is nan, and the last row has no next."""
    del isa
    for k in (20, 32, 40, 96, 100):
        w = np.zeros((2, k), np.int8)
        w[:, ::4] = 1
        scale = np.ones((2, -(-k // 32)), np.float16)
        scale[1] = np.nan
        c = sg.reference.compress(w)
        a = sg.Sparse24Tensor(c.values, c.metadata, (2, k), scale=scale, group_size=32)
        for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
            y = sg.linear(np.ones((3, k), dtype), a)
            assert (y[:, 0] == (k + 3) // 4).all()
            assert np.isnan(y[:, 1].astype(np.float32)).all()
