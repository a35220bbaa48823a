"""Sizes beyond 2^31 elements."""

from __future__ import annotations

import numpy as np
import pytest

import sparse_gemm as sg

pytestmark = pytest.mark.slow  # each needs some gigabytes of memory


def test_linear_with_a_weight_of_more_than_2_31_elements() -> None:
    m, k = 2**16 + 3, 2**15 + 8
    assert m * k > 2**31
    row = np.zeros(k, np.int8)
    row[::4] = 1
    w = np.broadcast_to(row, (m, k))
    a = sg.compress(w)
    x = np.ones((1, k), np.int8)
    x[0, -4:] = 3
    np.testing.assert_array_equal(sg.linear(x, a), np.full((1, m), k // 4 + 2, np.int32))


def test_a_result_of_more_than_2_31_elements() -> None:
    m, n, k = 2**16, 2**15 + 9, 4
    assert m * n > 2**31
    w = np.zeros((m, k), np.int8)
    w[:, 1] = np.arange(m) % 3
    x = np.ones((n, k), np.int8)
    x[:, 1] = np.arange(n) % 5
    y = sg.linear(x, sg.compress(w), out_dtype=np.int8)
    for rows in (slice(0, 3), slice(n - 3, n)):
        expected = (np.arange(n)[rows] % 5)[:, None] * (np.arange(m) % 3)
        np.testing.assert_array_equal(y[rows], expected)
