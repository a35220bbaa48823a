"""The public functions on NumPy arrays: what they return, and what they say of bad input."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest

import sparse_gemm as sg
from sparse_gemm import _C
from sparse_gemm.gemm import type_rules

RNG = np.random.default_rng(0)


def sparse(m: int, k: int, dtype: type = np.float32) -> np.ndarray:
    return sg.prune(RNG.integers(-4, 5, (m, k)).astype(dtype))


W = sparse(6, 10)
A = sg.compress(W)
X = RNG.integers(-4, 5, (5, 10)).astype(np.float32)


# --- results -------------------------------------------------------------------------------------


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
    np.testing.assert_array_equal(
        sg.linear(np.broadcast_to(base[:1, :10], (n, 10)), A),
        np.broadcast_to(sg.linear(base[:1, :10], A), (n, 6)),
    )


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


def test_default_output_types() -> None:
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        a = sg.compress(sparse(4, 8, dtype))
        assert sg.linear(np.ones((1, 8), dtype), a).dtype == dtype
    a = sg.compress(sparse(4, 8, np.int8))
    x = np.ones((1, 8), np.int8)
    assert sg.linear(x, a).dtype == np.int32
    assert sg.linear(x, a, bias=np.ones(4, np.float32)).dtype == np.float32
    assert sg.linear(x, a, out_dtype="float16").dtype == np.float16


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


def test_plan_says_what_runs_and_tells_few_tokens_from_many() -> None:
    a = sg.compress(sparse(64, 64))
    few, many = sg.plan(a, 1), sg.plan(a, 512)
    assert few.kernel.startswith("row_dot")
    assert many.kernel.startswith("panel")
    assert few.a_bytes == a.nbytes
    assert many.multiply_adds == 64 * 512 * 32
    assert "row_dot" in str(few)
    assert few.why in str(few)


# --- bad input -----------------------------------------------------------------------------------


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


def test_few_rows_are_shared_out_too() -> None:
    dtype, pattern = _C.DType.float32, _C.Pattern.k2of4
    plan = _C.plan(64, 2048, 1024, dtype, dtype, pattern, dtype, _C.Isa.portable, 4)
    assert plan.num_threads == 4


def test_numbers_that_name_no_enum_value_are_refused_by_the_extension() -> None:
    y = np.empty((5, 6), np.float32)
    good = [6, 10, A.values.ctypes.data, A.metadata.ctypes.data, 0, 0, 0, 0, 0, 0]
    good += [5, 1, X.ctypes.data, 0, 1, 10, 0, y.ctypes.data, 0, 1, 6, 0]
    good += [0, 0, 1, 0, 0, 1, None]
    _C.gemm(*good)
    np.testing.assert_array_equal(y, X @ W.T)
    for position in (4, 5, 7, 13, 18, 23, 25):
        for number in (-1, 90, 256):
            bad = [*good[:position], number, *good[position + 1 :]]
            with pytest.raises(ValueError, match="names no value"):
                _C.gemm(*bad)
    with pytest.raises(TypeError, match="gemm takes 29 arguments"):
        _C.gemm(1)


def test_int32_output_is_the_exact_product_alone() -> None:
    a = sg.compress(sparse(6, 10, np.int8))
    x = np.ones((2, 10), np.int8)
    with pytest.raises(ValueError, match="out_dtype is int32, which holds the exact product"):
        sg.linear(x, a, alpha=0.5, out_dtype=np.int32)


def test_types_without_a_kernel_say_what_to_do() -> None:
    fp8 = sg.compress(np.ones((2, 4), ml_dtypes.float8_e4m3fn), policy="prune")
    with pytest.raises(sg.UnsupportedError, match="float8_e4m3fn.*bfloat16 or float32 copy"):
        sg.linear(np.ones((1, 4), ml_dtypes.float8_e4m3fn), fp8)
    one_of_two = sg.compress(np.ones((2, 4), np.float32), pattern="1:2", policy="prune")
    with pytest.raises(sg.UnsupportedError, match="compress it with pattern='2:4'"):
        sg.linear(np.ones((1, 4), np.float32), one_of_two)
    with pytest.raises(sg.UnsupportedError, match="float8_e4m3fn"):
        sg.plan(fp8, 4)


def test_k_that_could_wrap_int32_is_refused() -> None:
    k = 2**18
    a = sg.compress(np.zeros((1, k), np.int8))
    with pytest.raises(sg.UnsupportedError, match="could wrap"):
        sg.linear(np.zeros((1, k), np.int8), a)


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


def test_plan_refuses_what_is_no_number_of_tokens() -> None:
    with pytest.raises(TypeError, match="tokens is 1.5; expected a whole number"):
        sg.plan(A, 1.5)
    with pytest.raises(ValueError, match="tokens is 4611686018427387904"):
        sg.plan(A, 2**62)
    with pytest.raises(TypeError, match="alpha is 'a'; expected a number"):
        sg.linear(X, A, alpha="a")
    with pytest.raises(ValueError, match="tokens is -1"):
        sg.plan(A, -1)


def test_weight_only_types_have_no_kernel_on_the_cpu_and_say_where_there_is_one() -> None:
    x = np.ones((2, 64), np.float16)
    for dtype in ("int8", "int4", "float8_e4m3fn"):
        for group_size in (None, 32):
            a = sg.quantize(np.ones((3, 64), F32), dtype, group_size=group_size, prune=True)
            with pytest.raises(sg.UnsupportedError, match="move both to a CUDA device"):
                sg.linear(x, a)
            with pytest.raises(sg.UnsupportedError, match="move both to a CUDA device"):
                sg.matmul(a, x.T)


def test_sums_in_float16_are_for_devices() -> None:
    x, a = X.astype(np.float16), sg.compress(W.astype(np.float16))
    np.testing.assert_array_equal(sg.linear(x, a, accumulate="float32"), sg.linear(x, a))
    with pytest.raises(sg.UnsupportedError, match="the cpu backend keeps sums in float32"):
        sg.linear(x, a, accumulate="float16")
    with pytest.raises(ValueError, match="accumulate is 'half'; expected None, 'float32'"):
        sg.matmul(a, x.T, accumulate="half")
    with pytest.raises(ValueError, match="accumulate is 'float16', but a is float32"):
        sg.linear(X, A, accumulate="float16")


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
    halves, float8 = {d.float16, d.bfloat16}, {d.float8_e4m3fn, d.float8_e5m2}
    expected = {
        (pattern.k2of4, d.float32): {d.float32},
        (pattern.k2of4, d.float16): {d.float16},
        (pattern.k2of4, d.bfloat16): {d.bfloat16},
        (pattern.k2of4, d.int8): {d.int8, *halves},
        (pattern.k2of4, d.float8_e4m3fn): float8 | halves,
        (pattern.k2of4, d.float8_e5m2): float8 | halves,
        (pattern.k2of4, d.int4): halves,
        (pattern.k1of2, d.float32): {d.float32},
        (pattern.k4of8, d.int4): {d.int4},
        (pattern.k4of8, d.uint4): {d.uint4},
    }
    for p in pattern.__members__.values():
        for a in d.__members__.values():
            found = type_rules.dense_types(p, a)
            assert set(found) == expected.get((p, a), set()), (p, a)
            assert not found or type_rules.default_dense(p, a) == (a if a in found else d.float16)
