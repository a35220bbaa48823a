"""Which types go together, what the result is, and who says where there is no kernel."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from small_matrices import A, W, X, sparse

import sparse_gemm as sg
from sparse_gemm import _C
from sparse_gemm.gemm import type_rules

F32 = np.float32


def test_default_output_types() -> None:
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        a = sg.compress(sparse(4, 8, dtype))
        assert sg.linear(np.ones((1, 8), dtype), a).dtype == dtype
    a = sg.compress(sparse(4, 8, np.int8))
    x = np.ones((1, 8), np.int8)
    assert sg.linear(x, a).dtype == np.int32
    assert sg.linear(x, a, bias=np.ones(4, np.float32)).dtype == np.float32
    assert sg.linear(x, a, out_dtype="float16").dtype == np.float16


def test_the_rule_of_result_types() -> None:
    """In one place for all that asks: the default is x's type, but for integers and float8."""
    d, rule = _C.DType, type_rules.default_result
    for dtype in (d.float32, d.float16, d.bfloat16):
        assert rule(dtype, exact=True) == rule(dtype, exact=False) == dtype
    for dtype in (d.int8, d.int4):
        assert (rule(dtype, exact=True), rule(dtype, exact=False)) == (d.int32, d.float32)
    for dtype in (d.float8_e4m3fn, d.float8_e5m2):
        assert rule(dtype, exact=True) == rule(dtype, exact=False) == d.bfloat16


def test_which_types_go_together() -> None:
    d, pattern = _C.DType, _C.Pattern
    floats = {d.float16, d.bfloat16, d.float32}
    float8 = {d.float8_e4m3fn, d.float8_e5m2}
    expected = {
        (pattern.k2of4, d.float32): {d.float32},
        (pattern.k2of4, d.float16): {d.float16},
        (pattern.k2of4, d.bfloat16): {d.bfloat16},
        (pattern.k2of4, d.int8): {d.int8, *floats},
        (pattern.k2of4, d.float8_e4m3fn): float8 | floats,
        (pattern.k2of4, d.float8_e5m2): float8 | floats,
        (pattern.k2of4, d.int4): floats,
        (pattern.k1of2, d.float32): {d.float32},
        (pattern.k4of8, d.int4): {d.int4},
        (pattern.k4of8, d.uint4): {d.uint4},
    }
    for p in pattern.__members__.values():
        for a in d.__members__.values():
            found = type_rules.dense_types(p, a)
            assert set(found) == expected.get((p, a), set()), (p, a)
            assert not found or type_rules.default_dense(p, a) == (a if a in found else d.float16)


def test_sums_in_float16_are_for_devices() -> None:
    x, a = X.astype(np.float16), sg.compress(W.astype(np.float16))
    np.testing.assert_array_equal(sg.linear(x, a, accumulate="float32"), sg.linear(x, a))
    with pytest.raises(sg.UnsupportedError, match="the cpu backend keeps sums in float32"):
        sg.linear(x, a, accumulate="float16")
    with pytest.raises(ValueError, match="accumulate is 'half'; expected None, 'float32'"):
        sg.matmul(a, x.T, accumulate="half")
    with pytest.raises(ValueError, match="accumulate is 'float16', but a is float32"):
        sg.linear(X, A, accumulate="float16")


def test_types_without_a_kernel_say_what_to_do() -> None:
    fp8 = sg.compress(np.ones((2, 4), ml_dtypes.float8_e4m3fn), policy="prune")
    with pytest.raises(sg.UnsupportedError, match="float8_e4m3fn.*activations can be float32"):
        sg.linear(np.ones((1, 4), ml_dtypes.float8_e4m3fn), fp8)
    one_of_two = sg.compress(np.ones((2, 4), np.float32), pattern="1:2", policy="prune")
    with pytest.raises(sg.UnsupportedError, match="compress it with pattern='2:4'"):
        sg.linear(np.ones((1, 4), np.float32), one_of_two)
    with pytest.raises(sg.UnsupportedError, match="float8_e4m3fn"):
        sg.plan(fp8, 4)


def test_int32_output_is_the_exact_product_alone() -> None:
    a = sg.compress(sparse(6, 10, np.int8))
    x = np.ones((2, 10), np.int8)
    with pytest.raises(ValueError, match="out_dtype is int32, which holds the exact product"):
        sg.linear(x, a, alpha=0.5, out_dtype=np.int32)


def test_k_that_could_wrap_int32_is_refused() -> None:
    k = 2**18
    a = sg.compress(np.zeros((1, k), np.int8))
    with pytest.raises(sg.UnsupportedError, match="could wrap"):
        sg.linear(np.zeros((1, k), np.int8), a)
