"""linear and matmul: what they compute, for any strides, dimensions and threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from small_matrices import A, W, X

import sparse_gemm as sg

RNG = np.random.default_rng(0)


def test_linear_takes_any_leading_dimensions() -> None:
    for shape in ((10,), (1, 10), (5, 10), (2, 3, 10), (2, 1, 2, 2, 10)):
        x = RNG.integers(-4, 5, shape).astype(np.float32)
        y = sg.linear(x, A)
        assert y.shape == (*shape[:-1], 6)
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, x @ W.T)


@pytest.mark.parametrize("n", [3, 40], ids=["row_dot", "panel"])
def test_linear_takes_any_strides_without_changing_a_bit(n: int) -> None:
    base = RNG.standard_normal((2 * n, 30)).astype(np.float32)
    expected = sg.linear(np.ascontiguousarray(base[::2, :10]), A)
    reversed_copy = np.ascontiguousarray(base[::2, :10][::-1, ::-1])
    misaligned = np.frombuffer(b"\0" + base[::2, :10].tobytes(), np.float32, n * 10, offset=1)
    for x in (
        base[::2, :10],
        np.asfortranarray(base[::2, :10]),
        reversed_copy[::-1, ::-1],
        misaligned.reshape(n, 10),
    ):
        assert sg.linear(x, A).tobytes() == expected.tobytes()
    broadcast = np.broadcast_to(base[:1, :10], (n, 10))
    expected = sg.linear(np.ascontiguousarray(broadcast), A)
    np.testing.assert_array_equal(sg.linear(broadcast, A), expected)


def test_linear_writes_to_out_of_any_strides_and_returns_it() -> None:
    expected = X @ W.T
    for n in (5, 40):
        x = np.resize(X, (n, 10))
        for out in (
            np.empty((n, 6), np.float32),
            np.empty((6, n), np.float32).T,
            np.empty((n, 12), np.float32)[:, ::2],
            np.empty((2 * n, 20), np.float32)[::-2, ::-3][:, :6],
        ):
            assert sg.linear(x, A, out=out) is out
            np.testing.assert_array_equal(out, np.resize(expected, (n, 6)))


def test_matmul_of_vectors_matrices_and_batches() -> None:
    for shape in ((10,), (10, 1), (10, 7), (10, 40), (3, 10, 4), (2, 3, 10, 4), (0, 10, 4)):
        b = RNG.integers(-4, 5, shape).astype(np.float32)
        d = sg.matmul(A, b)
        np.testing.assert_array_equal(d, W @ b)
        assert d.flags.c_contiguous
    np.testing.assert_array_equal(sg.matmul(A, X.T), W @ X.T)


def test_matmul_applies_its_terms_along_the_right_dimensions() -> None:
    b = RNG.standard_normal((3, 10, 4)).astype(np.float32)
    bias = RNG.standard_normal(6).astype(np.float32)
    a_scale = RNG.standard_normal(6).astype(np.float32)
    b_scale = RNG.standard_normal(4).astype(np.float32)
    c = RNG.standard_normal((3, 6, 4)).astype(np.float32)
    gate = RNG.standard_normal((3, 6, 4)).astype(np.float32)
    d = sg.matmul(
        A,
        b,
        bias=bias,
        a_scale=a_scale,
        b_scale=b_scale,
        residual=c,
        gate=gate,
        alpha=2.0,
        beta=3.0,
    )
    product = 2.0 * a_scale[:, None] * b_scale * (W.astype(np.float64) @ b) + bias[:, None]
    expected = gate / (1 + np.exp(-gate.astype(np.float64))) * product + 3.0 * c
    np.testing.assert_allclose(d, expected, rtol=1e-5, atol=1e-5)


def test_matmul_with_a_vector_applies_terms_and_writes_to_out() -> None:
    b = RNG.standard_normal(10).astype(np.float32)
    c = RNG.standard_normal(6).astype(np.float32)
    out = np.empty(6, np.float32)
    assert sg.matmul(A, b, residual=c, beta=2.0, out=out) is out
    np.testing.assert_allclose(out, W @ b + 2 * c, rtol=1e-5, atol=1e-5)


def test_a_scale_of_the_matrix_is_used_unless_another_is_given() -> None:
    scale = np.arange(1, 7, dtype=np.float32)
    a = sg.Sparse24Tensor(A.values, A.metadata, A.shape, scale=scale)
    np.testing.assert_array_equal(sg.linear(X, a), X @ W.T * scale)
    np.testing.assert_array_equal(sg.matmul(a, X.T), W @ X.T * scale[:, None])
    one = np.array([2.0], np.float32)
    np.testing.assert_array_equal(sg.linear(X, a, w_scale=one), X @ W.T * 2)


def test_empty_matrices_and_zero_tokens_give_empty_or_zero_results() -> None:
    assert sg.linear(np.empty((0, 10), np.float32), A).shape == (0, 6)
    assert sg.linear(np.empty((2, 0, 10), np.float32), A).shape == (2, 0, 6)
    no_rows = sg.compress(np.empty((0, 10), np.float32))
    assert sg.linear(X, no_rows).shape == (5, 0)
    no_columns = sg.compress(np.empty((6, 0), np.float32))
    bias = np.arange(6, dtype=np.float32)
    for n in (1, 40):
        y = sg.linear(np.empty((n, 0), np.float32), no_columns, bias)
        np.testing.assert_array_equal(y, np.tile(bias, (n, 1)))


def test_calls_from_several_threads_at_once_agree() -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((512, 512)).astype(np.float32)
    a = sg.compress(w, policy="prune")
    inputs = [rng.standard_normal((n, 512)).astype(np.float32) for n in (1, 3, 40, 130)]
    expected = [sg.linear(x, a).tobytes() for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if sg.linear(inputs[i % 4], a).tobytes() != expected[i % 4]:
                wrong.append(i)
            if sg.compress(w, policy="prune").values.tobytes() != a.values.tobytes():
                wrong.append(-i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
