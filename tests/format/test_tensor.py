"""Sparse24Tensor and compress: bytes, round trips, and what they refuse."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from small_matrices import A, W, X

import sparse_gemm as sg

RNG = np.random.default_rng(0)


def test_compressed_bytes_are_exact() -> None:
    """9/16 of dense for 16-bit types, 5/8 for 8-bit, 17/32 for fp32."""
    for dtype, numerator, denominator in (
        (np.float16, 9, 16),
        (ml_dtypes.bfloat16, 9, 16),
        (np.int8, 5, 8),
        (ml_dtypes.float8_e4m3fn, 5, 8),
        (ml_dtypes.float8_e5m2, 5, 8),
        (np.float32, 17, 32),
    ):
        w = sg.prune(np.ones((48, 64), dtype))
        a = sg.compress(w)
        assert a.nbytes * denominator == w.nbytes * numerator
        assert sg.compress(np.ones((3, 7), dtype), policy="prune").nbytes <= w.nbytes


def test_prune_then_compress_equals_compress_with_policy_prune() -> None:
    w = RNG.standard_normal((33, 50)).astype(np.float16)
    two_steps, one = sg.compress(sg.prune(w)), sg.compress(w, policy="prune")
    assert two_steps.values.tobytes() == one.values.tobytes()
    assert two_steps.metadata.tobytes() == one.metadata.tobytes()


def test_four_bit_matrices_round_trip() -> None:
    for dtype in (ml_dtypes.int4, ml_dtypes.uint4):
        w = RNG.integers(0, 7, (5, 21)).astype(np.int8).astype(dtype)
        pruned = sg.prune(w, pattern="4:8")
        a = sg.compress(pruned, pattern="4:8")
        dense = a.to_dense()
        assert dense.dtype == dtype
        np.testing.assert_array_equal(dense.astype(np.int8), pruned.astype(np.int8))
        again = sg.Sparse24Tensor(a.values, a.metadata, a.shape, pattern="4:8", dtype=dtype)
        np.testing.assert_array_equal(again.to_dense().astype(np.int8), pruned.astype(np.int8))


def test_a_matrix_that_is_not_sparse_is_refused_with_its_place_and_values() -> None:
    w = np.zeros((4, 12), np.float32)
    w[2, 5:8] = 1, 2, 3
    for call in (sg.check, sg.compress):
        match = r"row 2, group 1 .*\(0\.0, 1\.0, 2\.0, 3\.0\)"
        with pytest.raises(sg.SparsityError, match=match) as e:
            call(w)
        assert (e.value.row, e.value.group, e.value.values) == (2, 1, (0.0, 1.0, 2.0, 3.0))
    assert isinstance(e.value, ValueError)


BAD_COMPRESS = [
    (([[1.0]],), {}, TypeError, "w is a builtins.list; expected a NumPy array"),
    ((np.ones(4, np.float32),), {}, ValueError, r"w has shape \(4,\); expected a matrix"),
    ((np.ones((2, 2, 2, 4), np.float32),), {}, ValueError, r"w has shape \(2, 2, 2, 4\)"),
    ((np.ones((2, 4), np.float64),), {}, TypeError, "w has dtype float64; expected one of float32"),
    ((np.ones((2, 4), np.complex64),), {}, TypeError, "w has dtype complex64"),
    ((W,), {"pattern": "3:4"}, ValueError, "pattern is '3:4'; expected one of 2:4, 1:2, 4:8"),
    ((W,), {"pattern": None}, ValueError, "pattern is None"),
    ((W,), {"policy": "drop"}, ValueError, "policy is 'drop'; expected one of raise, prune"),
    (
        (W.astype(np.float16),),
        {"pattern": "1:2"},
        TypeError,
        "expected one of float32, in native",
    ),
    ((W,), {"pattern": "4:8"}, TypeError, "int4, uint4, in native byte order, for pattern 4:8"),
]


@pytest.mark.parametrize(("args", "keywords", "error", "match"), BAD_COMPRESS)
def test_compress_refuses(args: tuple, keywords: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        sg.compress(*args, **keywords)


def test_strides_that_are_not_whole_elements_are_refused() -> None:
    records = np.zeros(4, dtype=[("x", np.float32, 4), ("y", np.int8)])
    with pytest.raises(ValueError, match="not multiples of its 4-byte elements"):
        sg.compress(records["x"])


def test_scales_are_checked_when_a_matrix_is_made() -> None:
    with pytest.raises(ValueError, match=r"scale has shape \(3,\); expected \(6,\) or \(1,\)"):
        sg.Sparse24Tensor(**parts(scale=np.ones(3, np.float32)))
    with pytest.raises(TypeError, match="scale has dtype float64"):
        sg.Sparse24Tensor(**parts(scale=np.ones(6)))
    with pytest.raises(ValueError, match="group_size is 4; expected 32, 64 or 128"):
        sg.Sparse24Tensor(**parts(group_size=4))
    with pytest.raises(TypeError, match="dtype is 'float16'; expected float32"):
        sg.Sparse24Tensor(**parts(dtype="float16"))
    with pytest.raises(ValueError, match="shape is"):
        sg.Sparse24Tensor(**parts(shape=(6,)))


def parts(**changes: object) -> dict:
    return {"values": A.values, "metadata": A.metadata, "shape": A.shape} | changes


BAD_PARTS = [
    (parts(values=A.values[:5]), ValueError, r"values has shape \(5, 6\); expected \(6, 6\)"),
    (parts(metadata=A.metadata[:, :1]), ValueError, r"metadata has shape \(6, 1\)"),
    (parts(shape=(6, 14)), ValueError, "values has shape"),
    (parts(shape=(-6, 10)), ValueError, "none negative"),
    (parts(values=np.asfortranarray(A.values)), ValueError, "values has strides"),
    (
        parts(metadata=A.metadata.astype(np.int8)),
        TypeError,
        "metadata has dtype int8; expected uint8",
    ),
    (parts(values=A.values.astype(np.float64)), TypeError, "values has dtype float64"),
    (parts(values=A.values.tolist()), TypeError, "values is a builtins.list"),
    (parts(pattern="2:3"), ValueError, "pattern is '2:3'"),
]


@pytest.mark.parametrize(("keywords", "error", "match"), BAD_PARTS)
def test_stored_parts_that_do_not_fit_are_refused(keywords: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        sg.Sparse24Tensor(**keywords)


@pytest.mark.parametrize("nibble", [0x0, 0x1, 0x2, 0x3, 0x5, 0x6, 0x7, 0xA, 0xB, 0xF])
def test_metadata_that_names_no_pair_is_refused_before_any_kernel_sees_it(nibble: int) -> None:
    metadata = A.metadata.copy()
    metadata[3, 0] = (metadata[3, 0] & 0x0F) | (nibble << 4)
    with pytest.raises(sg.SparsityError, match=f"row 3, group 1 holds 0x{nibble:X}") as error:
        sg.Sparse24Tensor(A.values, metadata, A.shape)
    assert (error.value.row, error.value.group) == (3, 1)


def test_the_unused_nibble_of_a_ragged_row_may_hold_anything() -> None:
    metadata = A.metadata.copy()
    metadata[:, 1] &= 0x0F  # 10 columns: 3 groups, so the second byte's high nibble is unused
    a = sg.Sparse24Tensor(A.values, metadata, A.shape)
    np.testing.assert_array_equal(sg.linear(X, a), X @ W.T)
