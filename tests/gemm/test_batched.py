"""Batches of compressed matrices [B, M, K] on the CPU: storage, products and what is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import sparse_gemm as sg
from sparse_gemm import reference
from sparse_gemm.gemm.eager import Options
from sparse_gemm.gemm.epilogue import Terms
from sparse_gemm.planning import plans
from sparse_gemm.torch_glue import operators

Array = np.ndarray[Any, Any]

INT4, UINT4 = np.dtype(ml_dtypes.int4), np.dtype(ml_dtypes.uint4)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float32), np.dtype(np.float16), BFLOAT16]
STORED = [
    *(("2:4", dtype) for dtype in (*FLOATS, np.dtype(np.int8), INT4)),
    *(("2:4", np.dtype(t)) for t in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)),
    *(("1:2", FLOATS[0]), ("4:8", INT4), ("4:8", UINT4)),
]
SHAPES = [(3, 5, 33), (1, 4, 8), (2, 1, 1), (4, 17, 130), (0, 3, 8), (2, 0, 8), (2, 3, 0)]


def integers(shape: tuple[int, ...], dtype: Any) -> Array:
    rng = np.random.default_rng(shape)
    lowest = 0 if dtype == UINT4 else -5
    return rng.integers(lowest, 6, shape).astype(np.int8).astype(dtype)


def sparse(shape: tuple[int, int, int], dtype: Any, pattern: str = "2:4") -> Array:
    pruned = [reference.prune(matrix, pattern) for matrix in integers(shape, dtype)]
    return np.array(pruned, dtype).reshape(shape)


def same(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("pattern", "dtype"), STORED, ids=str)
def test_each_matrix_is_stored_as_it_is_alone(
    pattern: str, dtype: Any, shape: tuple[int, int, int]
) -> None:
    w = integers(shape, dtype)
    pruned = sg.prune(w, pattern=pattern)
    assert same(pruned, sparse(shape, dtype, pattern))
    sg.check(pruned, pattern=pattern)
    a = sg.compress(w, pattern=pattern, policy="prune")
    alone = [sg.compress(matrix, pattern=pattern) for matrix in pruned]
    assert a.shape == shape
    assert a.dtype == dtype
    assert same(a.to_dense(), pruned)
    assert a.values.shape[:2] == a.metadata.shape[:2] == shape[:2]
    for i, one in enumerate(alone):
        assert same(a.values[i], one.values)
        assert same(a.metadata[i], one.metadata)


def test_a_batch_of_any_strides_compresses() -> None:
    w = sparse((3, 6, 12), np.float32)
    for view in (w[::-1], w[:, ::2], np.asfortranarray(w), w.transpose(1, 0, 2)):
        assert same(sg.compress(view).to_dense(), np.ascontiguousarray(view))


def test_what_is_not_sparse_is_named_by_matrix_row_and_group() -> None:
    w = sparse((3, 5, 22), np.float32)
    w[2, 4, 20:], w[1, 3, 8:12] = 7, (1, 2, 3, 4)
    for refuse in (sg.check, sg.compress):
        with pytest.raises(sg.SparsityError, match="matrix 1, row 3, group 2 ") as caught:
            refuse(w)
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.batch, error.row, error.group) == (1, 3, 2)
        assert error.values == (1, 2, 3, 4)
    with pytest.raises(sg.SparsityError, match="w is not 2:4 sparse: row 3, group 2") as caught:
        sg.check(w[1])
    assert caught.value.batch is None


def test_metadata_that_names_no_positions_is_named_too() -> None:
    a = sg.compress(sparse((3, 5, 22), np.float32))
    metadata = a.metadata.copy()
    metadata[2, 1, 1] = 0xE0
    with pytest.raises(sg.SparsityError, match="matrix 2, row 1, group 2 holds 0x0") as caught:
        sg.Sparse24Tensor(a.values, metadata, a.shape)
    assert (caught.value.batch, caught.value.row, caught.value.group) == (2, 1, 2)


@pytest.mark.parametrize("dtype", [*FLOATS, np.dtype(np.int8)], ids=str)
def test_products_are_exact(dtype: Any) -> None:
    for batch, m, k, n in ((3, 5, 33, 7), (1, 4, 8, 1), (4, 17, 130, 9), (2, 1, 1, 1)):
        w, b = sparse((batch, m, k), dtype), integers((batch, k, n), dtype)
        a = sg.compress(w)
        out = np.dtype(np.int32) if dtype == np.int8 else dtype
        for given, indices in ((b, "bkn"), (np.asfortranarray(b)[::-1], "bkn"), (b[0], "kn")):
            wide = (x.astype(np.int64) for x in (w, given))
            expected = np.einsum(f"bmk,{indices}->bmn", *wide).astype(out)
            assert same(sg.matmul(a, given), expected)


def test_nothing_times_something() -> None:
    for batch, m, k, n in ((0, 3, 8, 2), (2, 0, 8, 2), (2, 3, 0, 2), (2, 3, 8, 0)):
        a = sg.compress(np.zeros((batch, m, k), np.float32))
        assert same(sg.matmul(a, np.ones((batch, k, n), np.float32)), np.zeros((batch, m, n), "f4"))


def test_terms() -> None:
    w, b = sparse((3, 5, 33), np.float32), integers((3, 33, 7), np.float32)
    rng = np.random.default_rng(0)
    bias, a_scale, b_scale = (rng.integers(1, 5, x).astype(np.float32) for x in (5, 5, 7))
    residual = rng.integers(-4, 5, (3, 5, 7)).astype(np.float32)
    out = np.empty((3, 5, 7), np.float32)
    terms = {"bias": bias, "residual": residual, "alpha": 2.0, "beta": 3.0, "b_scale": b_scale}
    expected = 2 * a_scale[:, None] * b_scale * (w @ b) + bias[:, None]
    expected = np.maximum(expected, 0) + 3 * residual
    assert sg.matmul(sg.compress(w), b, a_scale=a_scale, activation="relu", out=out, **terms) is out
    assert same(out, expected)
    parts = sg.compress(w)
    scaled = sg.Sparse24Tensor(parts.values, parts.metadata, parts.shape, scale=a_scale)
    assert same(sg.matmul(scaled, b, activation="relu", **terms), expected)


def test_copies_pickles_and_repr() -> None:
    a = sg.quantize(sparse((3, 5, 70), np.float32), group_size=32)
    assert a.scale is not None
    assert a.scale.shape == (3, 5, 3)
    assert repr(a).startswith("Sparse24Tensor(3x5x70, 2:4 int8, groups of 32, ")
    for b in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert b.shape == a.shape
        for name in ("values", "metadata", "scale"):
            assert same(getattr(b, name), getattr(a, name))


def test_quantize_does_with_each_matrix_what_it_does_with_one() -> None:
    w = sg.prune(np.random.default_rng(0).standard_normal((3, 5, 70), np.float32))
    a = sg.quantize(w, "int4", group_size=64)
    for i, one in enumerate(sg.quantize(matrix, "int4", group_size=64) for matrix in w):
        assert same(a.values[i], one.values)
        assert same(a.scale[i], one.scale)  # type: ignore[index]
    with pytest.raises(ValueError, match="group_size is None; expected 32, 64 or 128"):
        sg.quantize(w)


def test_torch_tensors() -> None:
    w, b = (torch.from_numpy(sparse((3, 5, 33), "f4")), torch.ones(3, 33, 7))
    a = sg.compress(w)
    assert torch.equal(a.to_dense(), w)
    assert torch.equal(sg.matmul(a, b), w @ b)
    assert torch.equal(sg.matmul(a, b.expand(3, 33, 7)), w @ b)
    assert a.to("cpu") is a
    assert a.to(torch.device("meta")).shape == a.shape


def test_the_plan_is_of_the_whole_batch() -> None:
    w = sparse((3, 64, 256), np.float32)
    one, all_three = sg.plan(sg.compress(w[0]), 4), sg.plan(sg.compress(w), 4)
    assert (one.batch, all_three.batch) == (1, 3)
    assert all_three.a_bytes == 3 * one.a_bytes
    assert all_three.multiply_adds == 3 * one.multiply_adds
    assert "3 x D[64,4] = A[64,256]" in str(all_three)
    assert plans.problem_of(sg.compress(w), 4, None, None, None).batch == 3


A = sg.compress(sparse((3, 5, 33), np.float32))
TORCH_A = sg.compress(torch.from_numpy(sparse((3, 5, 33), "f4")))


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def rebuilt(**changes: Any) -> sg.Sparse24Tensor:
    parts = {"values": A.values, "metadata": A.metadata, "shape": A.shape} | changes
    return sg.Sparse24Tensor(**parts)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sg.linear(ones(3, 7, 33), A), r"a batch; expected one matrix.*sparse_gemm.matmul"),
        (lambda: sg.matmul(A, ones(33)), r"b has shape \(33,\); expected \[33, N\] or \[3, 33, N"),
        (lambda: sg.matmul(A, ones(2, 33, 7)), r"b has shape \(2, 33, 7\); expected .*\[3, 33, N"),
        (lambda: sg.matmul(A, ones(1, 33, 7)), r"b has shape \(1, 33, 7\); expected .*\[3, 33, N"),
        (lambda: sg.matmul(A, ones(2, 3, 33, 7)), r"expected \[33, N\] or \[3, 33, N\]"),
        (lambda: sg.matmul(A, ones(3, 32, 7)), r"b has shape \(3, 32, 7\); expected \[..., 33, N"),
        (lambda: sg.compress(ones(2, 2, 2, 4)), r"expected a matrix \[M, K\] or a batch \[B, M, K"),
        (lambda: rebuilt(shape=(2, 5, 33)), r"values has shape \(3, 5, 18\); expected \(2, 5, 18"),
        (lambda: rebuilt(shape=(15, 33)), r"values has shape \(3, 5, 18\); expected \(15, 18\)"),
        (lambda: rebuilt(shape=(-3, 5, 33)), r"expected \(M, K\) or \(B, M, K\), none negative"),
        (lambda: rebuilt(shape=(1, 3, 5, 33)), r"expected \(M, K\) or \(B, M, K\)"),
        (lambda: rebuilt(scale=ones(3, 5)), r"expected \(5,\) or \(1,\), for all matrices of the"),
        (lambda: rebuilt(values=A.values[::-1]), "values has strides"),
        (lambda: sg.SparseLinear.from_compressed(TORCH_A), "expected one matrix"),
        (lambda: sg.tune(A, [1]), "expected one matrix"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_operators_of_torch_take_one_matrix() -> None:
    b = torch.ones(3, 33, 7)
    for call in (
        lambda: operators.matmul(TORCH_A, b, Terms(), Options()),
        lambda: operators.linear(b.mT, TORCH_A, Terms(), Options()),
    ):
        with pytest.raises(sg.UnsupportedError, match=r"take one matrix \[M, K\]"):
            call()
