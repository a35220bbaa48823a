"""What linear and matmul refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest
from small_matrices import A, W, X

import sparse_gemm as sg
from sparse_gemm import _C

F32 = np.float32


BAD_LINEAR = [
    (([1.0] * 10, A), {}, TypeError, "x is a builtins.list"),
    ((X, W), {}, TypeError, "a is a ndarray; expected a Sparse24Tensor"),
    ((X[:, :8], A), {}, ValueError, r"x has shape \(5, 8\); expected \[..., 10\]"),
    ((np.ones((), F32), A), {}, ValueError, r"x has shape \(\)"),
    ((X.astype(np.float16), A), {}, TypeError, "x has dtype float16; expected float32"),
    ((X.astype(np.float64), A), {}, TypeError, "x has dtype float64; expected float32"),
    ((X, A, np.ones(5, F32)), {}, ValueError, r"bias has shape \(5,\); expected \(6,\)"),
    ((X, A, np.ones(6)), {}, TypeError, "bias has dtype float64; expected float32, float16"),
    ((X, A, [0.0] * 6), {}, TypeError, "bias is a builtins.list"),
    ((X, A), {"activation": "swish"}, ValueError, "activation is 'swish'; expected one of"),
    ((X, A), {"activation": 3}, ValueError, "activation is 3"),
    ((X, A), {"activation": "swish", "alpha": 2.0}, ValueError, "activation is 'swish'"),
    (
        (X, A),
        {"x_scale": np.ones(4, F32)},
        ValueError,
        r"x_scale has shape \(4,\); expected \(5,\)",
    ),
    ((X, A), {"w_scale": np.ones((6, 2), F32)}, ValueError, r"w_scale has shape \(6, 2\)"),
    ((X, A), {"w_scale": np.ones(6)}, TypeError, "w_scale has dtype float64; expected float32"),
    ((X, A), {"residual": np.ones((5, 6), F32)}, ValueError, "beta is 0.0 and residual is given"),
    ((X, A), {"beta": 1.0}, ValueError, "beta is 1.0 and residual is not given"),
    (
        (X, A),
        {"residual": np.ones((6, 5), F32), "beta": 1.0},
        ValueError,
        r"residual has shape \(6, 5\); expected \(5, 6\)",
    ),
    ((X, A), {"gate": np.ones(6, F32)}, ValueError, r"gate has shape \(6,\); expected \(5, 6\)"),
    (
        (X, A),
        {"out": np.empty((5, 5), F32)},
        ValueError,
        r"out has shape \(5, 5\).*expected \(5, 6\)",
    ),
    ((X, A), {"out": np.empty((5, 6)), "out_dtype": F32}, TypeError, "out has dtype float64"),
    (
        (X, A),
        {"out_dtype": np.float64},
        TypeError,
        "out_dtype is .*float64.*expected a numpy dtype",
    ),
    ((X, A), {"out_dtype": "int8"}, sg.UnsupportedError, "out_dtype can be float32, float16"),
    ((X, A), {"backend": "cuda"}, sg.UnsupportedError, "backend is 'cuda'"),
    ((X, A), {"backend": "gpu"}, ValueError, "backend is 'gpu'; expected 'auto', 'cpu' or 'cuda'"),
    ((X, A), {"stream": 7}, ValueError, "stream is 7; expected None"),
]


@pytest.mark.parametrize(("args", "keywords", "error", "match"), BAD_LINEAR)
def test_linear_refuses(args: tuple, keywords: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        sg.linear(*args, **keywords)


def test_linear_refuses_read_only_out_and_writes_nothing_when_it_refuses() -> None:
    out = np.full((5, 6), 7, np.float32)
    with pytest.raises(ValueError, match="bias has shape"):
        sg.linear(X, A, np.ones(3, np.float32), out=out)
    np.testing.assert_array_equal(out, 7)
    out.setflags(write=False)
    with pytest.raises(ValueError, match="out is read-only"):
        sg.linear(X, A, out=out)


def test_out_whose_elements_share_memory_is_refused() -> None:
    out = np.lib.stride_tricks.as_strided(np.zeros(6, np.float32), (5, 6), (0, 4))
    with pytest.raises(ValueError, match="expected elements of their own"):
        sg.linear(X, A, out=out)


def test_masked_arrays_and_foreign_byte_order_are_refused() -> None:
    with pytest.raises(TypeError, match="x is a masked array"):
        sg.linear(np.ma.masked_array(X, mask=X > 0), A)
    with pytest.raises(TypeError, match="in native byte order"):
        sg.compress(W.astype(">f4"))
    with pytest.raises(TypeError, match="out has dtype >f4"):
        sg.linear(X, A, out=np.empty((5, 6), ">f4"))


def test_an_empty_batch_is_checked_like_any_other() -> None:
    empty = np.zeros((0, 10, 3), np.float32)
    assert sg.matmul(A, empty).shape == (0, 6, 3)
    with pytest.raises(ValueError, match="activation is 'foo'"):
        sg.matmul(A, empty, activation="foo")


def test_numbers_that_name_no_enum_value_are_refused_by_the_extension() -> None:
    y = np.empty((5, 6), np.float32)
    good = [6, 10, A.values.ctypes.data, A.metadata.ctypes.data, 0, 0, 0, 0, 0, 0]
    good += [5, 1, X.ctypes.data, 0, 1, 10, 0, y.ctypes.data, 0, 1, 6, 0]
    good += [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, None]
    _C.gemm(*good)
    np.testing.assert_array_equal(y, X @ W.T)
    for position in (4, 5, 7, 13, 18, 23, 25):
        for number in (-1, 90, 256):
            bad = [*good[:position], number, *good[position + 1 :]]
            with pytest.raises(ValueError, match="names no value"):
                _C.gemm(*bad)
    with pytest.raises(TypeError, match="gemm takes 33 arguments"):
        _C.gemm(1)


@pytest.mark.parametrize(
    ("b", "match"),
    [
        (np.ones((9, 3), np.float32), r"b has shape \(9, 3\); expected \[..., 10, N\]"),
        (np.ones((3, 9), np.float32), r"b has shape \(3, 9\)"),
        (np.ones(9, np.float32), r"b has shape \(9,\)"),
    ],
)
def test_matmul_refuses_a_wrong_k(b: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        sg.matmul(A, b)


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"residual": [1.0] * 6, "beta": 1.0}, TypeError, "residual is a builtins.list"),
        ({"gate": [1.0] * 6}, TypeError, "gate is a builtins.list"),
        ({"out": [1.0] * 6}, TypeError, "out is a builtins.list"),
        ({"gate": np.ones((6, 1), F32)}, ValueError, r"gate has shape \(6, 1\); expected \(6,\)"),
        ({"out": np.ones((6, 1), F32)}, ValueError, r"out has shape \(6, 1\); expected \(6,\)"),
        ({"out": np.ones((), F32)}, ValueError, r"out has shape \(\); expected \(6,\)"),
    ],
    ids=str,
)
def test_a_product_with_a_vector_takes_vectors(keywords: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        sg.matmul(A, np.ones(10, F32), **keywords)
