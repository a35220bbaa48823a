"""A small matrix, dense and compressed, and activations: integers, so that sums are exact."""

from __future__ import annotations

import numpy as np

import sparse_gemm as sg

_RNG = np.random.default_rng(0)


def sparse(m: int, k: int, dtype: type = np.float32) -> np.ndarray:
    return sg.prune(_RNG.integers(-4, 5, (m, k)).astype(dtype))


W = sparse(6, 10)
A = sg.compress(W)
X = _RNG.integers(-4, 5, (5, 10)).astype(np.float32)
