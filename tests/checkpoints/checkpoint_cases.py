"""Weights that make every layout show: all group patterns, in types of every width."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np

from sparse_gemm.checkpoints.weight import Weight, from_dense

Array = np.ndarray[Any, np.dtype[Any]]
FLOATS = ("float16", "bfloat16", "float32")
ONE_BYTE = ("int8", "float8_e4m3fn", "float8_e5m2")
# Every set of at most two of four places.
MASKS = np.array([m for m in itertools.product((0, 1), repeat=4) if sum(m) <= 2], bool)


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def sparse_matrix(
    rows: int, k: int, dtype: str, *, seed: int = 0, low: int = -8, high: int = 8
) -> Array:
    """[rows, k] of small integers, 2:4 along k, every one of the eleven masks among its groups."""
    rng = np.random.default_rng(seed)
    w = rng.integers(low, high, (rows, k))
    w[w == 0] = high - 1
    groups = -(-k // 4)
    masks = MASKS[rng.integers(len(MASKS), size=(rows, groups))]
    masks.reshape(-1, 4)[: len(MASKS)] = MASKS[: rows * groups]
    return (w * masks.reshape(rows, -1)[:, :k]).astype(dtype_of(dtype))


def weight(rows: int, k: int, dtype: str, **options: Any) -> Weight:
    found = from_dense(sparse_matrix(rows, k, dtype, **options))
    assert found is not None
    return found


def halves(w: Array) -> Array:
    """w for pattern 1:2: of every two elements one."""
    w = w.copy()
    both = (w[:, ::2] != 0) & (w[:, 1::2] != 0)
    w[:, 1::2][both] = 0
    return w


def equal(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b))
