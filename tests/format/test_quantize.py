"""sparse_gemm.quantize, and matrices with scales for groups of K."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import sparse_gemm as sg
from sparse_gemm import reference

Array = np.ndarray[Any, Any]
LARGEST = {"int8": 127, "int4": 7, "float8_e4m3fn": 448, "float8_e5m2": 57344}
FLOATS = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
GROUP_SIZES = [None, 32, 64, 128]
SHAPES = [(5, 130), (300, 64), (1, 1), (0, 8), (4, 0)]


def matrix(shape: tuple[int, int], dtype: Any = np.float32) -> Array:
    """2:4, with a row and a group of zeros."""
    w = reference.prune(np.random.default_rng(3).standard_normal(shape).astype(dtype))
    w[1:2] = 0
    w[2:3, :32] = 0
    return w


def expected_parts(w: Array, dtype: str, group_size: int | None) -> tuple[Array, Array]:
    """Elements and scales by the docstring's formula, one group after another."""
    m, k = w.shape
    size = group_size or max(k, 1)
    scale_dtype = np.dtype(np.float32) if group_size is None else w.dtype
    if group_size is not None and w.dtype == np.float32:
        scale_dtype = np.dtype(np.float16)
    element = {"int4": ml_dtypes.int4, "int8": np.int8}.get(dtype)
    q = np.zeros((m, k), element or getattr(ml_dtypes, dtype))
    scales = np.ones((m, -(-k // size) if group_size else 1), scale_dtype)
    for row in range(m):
        for group in range(-(-k // size)):
            part = slice(group * size, (group + 1) * size)
            values = w[row, part].astype(np.float32)
            largest = np.abs(values).max()
            if largest == 0:
                continue
            scale = (largest / np.float32(LARGEST[dtype])).astype(scale_dtype)
            scales[row, group] = scale
            quotients = values / scale.astype(np.float32)
            quotients = np.clip(quotients, -LARGEST[dtype], LARGEST[dtype])
            q[row, part] = (np.rint(quotients) if element else quotients).astype(q.dtype)
    return q, scales if group_size else scales.reshape(-1)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("w_dtype", FLOATS, ids=lambda dtype: dtype.name)
def test_elements_and_scales_are_the_formulas(
    w_dtype: Any, dtype: str, group_size: int | None
) -> None:
    for shape in SHAPES:
        w = matrix(shape, w_dtype)
        a = sg.quantize(w, dtype, group_size=group_size)
        q, scale = expected_parts(w, dtype, group_size)
        assert a.shape == shape
        assert a.pattern == "2:4"
        assert a.group_size == group_size
        assert a.to_dense().tobytes() == q.tobytes()
        assert a.to_dense().dtype == q.dtype
        assert a.scale.dtype == scale.dtype
        np.testing.assert_array_equal(a.scale, scale)
        expected = reference.compress(q)
        np.testing.assert_array_equal(a.values.view(np.uint8), expected.values.view(np.uint8))
        np.testing.assert_array_equal(a.metadata, expected.metadata)


@pytest.mark.parametrize("group_size", GROUP_SIZES)
@pytest.mark.parametrize("dtype", LARGEST)
def test_torch_tensors_give_the_same(dtype: str, group_size: int | None) -> None:
    torch = pytest.importorskip("torch")
    w = matrix((37, 130))
    for w_dtype in (torch.float32, torch.float16, torch.bfloat16):
        tensor = torch.from_numpy(w).to(w_dtype)
        host = tensor.float().numpy().astype(str(w_dtype).rpartition(".")[2])
        a = sg.quantize(tensor, dtype, group_size=group_size)
        expected = sg.quantize(host, dtype, group_size=group_size)
        for part in ("values", "metadata", "scale"):
            found, wanted = getattr(a, part), getattr(expected, part)
            assert isinstance(found, torch.Tensor)
            assert str(found.dtype) == f"torch.{wanted.dtype.name}"
            assert tuple(found.shape) == wanted.shape
            assert bytes(found.view(torch.uint8).numpy()) == wanted.tobytes()


def test_elements_are_divided_by_the_scale_as_it_is_stored() -> None:
    """A bfloat16 scale is off by up to 1/256, and the quotient by it may pass the limit."""
    w = np.zeros((1, 32), ml_dtypes.bfloat16)
    w[0, :2] = 1.0, 0.5
    a = sg.quantize(w, "int8", group_size=32)
    scale = np.float32(a.scale[0, 0])
    assert scale < np.float32(1) / 127  # rounded down: 1 / scale is above 127
    assert a.to_dense()[0, :2].tolist() == [127, np.rint(0.5 / scale)]


def test_magnitudes_below_the_smallest_scale_become_0() -> None:
    w = np.zeros((1, 32), np.float16)
    w[0, 0] = 2.0**-24
    a = sg.quantize(w, "int8", group_size=32)
    assert a.scale[0, 0] == np.float16(2.0**-24)
    assert a.to_dense()[0, 0] == 1


def test_prune_is_that_of_the_dense_matrix() -> None:
    w = np.random.default_rng(0).standard_normal((9, 70)).astype(np.float16)
    pruned = sg.quantize(w, "int4", group_size=32, prune=True)
    np.testing.assert_array_equal(
        pruned.values, sg.quantize(sg.prune(w), "int4", group_size=32).values
    )
    with pytest.raises(sg.SparsityError, match="row 0, group 0"):
        sg.quantize(w, "int4")


def test_the_error_is_at_most_half_a_step() -> None:
    w = matrix((64, 256))
    for dtype, step in (("int8", 1.0), ("int4", 1.0)):
        for group_size in GROUP_SIZES:
            a = sg.quantize(w, dtype, group_size=group_size)
            scale = np.asarray(a.scale, np.float64).reshape(64, -1)
            scale = scale.repeat(group_size or 256, axis=1)
            error = np.abs(a.to_dense().astype(np.float64) * scale - w)
            assert (error <= scale * step * 0.51).all()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"dtype": "int3"}, ValueError, "dtype is 'int3'; expected one of int8, int4, float8"),
        ({"group_size": 48}, ValueError, "group_size is 48; expected 32, 64 or 128, or None"),
        ({"group_size": 64.0}, ValueError, r"group_size is 64\.0"),
        ({"w": np.ones((2, 4))}, TypeError, "w has dtype float64; expected one of float32"),
        ({"w": np.ones(4, np.float32)}, ValueError, r"w has shape \(4,\); expected a matrix"),
        ({"w": np.array([[1, np.nan, 0, 0]], np.float32)}, ValueError, "nan or inf, first in row"),
        (
            {"w": np.array([[1e30, 0, 0, 0]], np.float32), "group_size": 32},
            ValueError,
            "whose scale float16 cannot hold",
        ),
        ({"backend": "gpu"}, ValueError, "backend is 'gpu'"),
        ({"w": [[1.0]]}, TypeError, "w is a builtins.list"),
    ],
)
def test_what_cannot_be_quantised_is_refused(
    change: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        sg.quantize(**{"w": matrix((2, 64)), "dtype": "int8", **change})


# ------------------------------------------------------------------- a matrix with scales of groups


@pytest.fixture
def quantised() -> sg.Sparse24Tensor:
    return sg.quantize(matrix((20, 200)).astype(np.float16), "int4", group_size=64)


def test_what_a_matrix_with_groups_says_of_itself(quantised: sg.Sparse24Tensor) -> None:
    a = quantised
    assert a.values.shape == (20, 50)
    assert a.values.dtype == np.uint8
    assert a.metadata.shape == (20, 25)
    assert a.scale.shape == (20, 4)
    assert a.dtype == ml_dtypes.int4
    assert a.nbytes == 20 * (50 + 25 + 2 * 4)
    assert repr(a) == "Sparse24Tensor(20x200, 2:4 int4, groups of 64, 0.0 MB, cpu)"


def test_copies_and_pickles_keep_groups(quantised: sg.Sparse24Tensor) -> None:
    for other in (pickle.loads(pickle.dumps(quantised)), copy.deepcopy(quantised)):
        assert repr(other) == repr(quantised)
        np.testing.assert_array_equal(other.scale, quantised.scale)
        np.testing.assert_array_equal(other.values, quantised.values)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"group_size": 48}, ValueError, "group_size is 48; expected 32, 64 or 128"),
        ({"group_size": True}, ValueError, "group_size is True"),
        ({"group_size": 32}, ValueError, r"scale has shape \(20, 4\); expected \(20, 7\)"),
        ({"scale": None}, ValueError, r"scale is None and group_size 64; .* shape \(20, 4\)"),
        ({"scale": np.ones((20, 4), np.float32)}, TypeError, "scale has dtype float32; expected f"),
        ({"scale": np.ones((4, 20), np.float16).T}, ValueError, "scale has strides"),
        ({"group_size": None}, TypeError, "scale has dtype float16; expected float32"),
        ({"dtype": "uint4"}, TypeError, "dtype is 'uint4'; expected int4 for pattern 2:4"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    quantised: sg.Sparse24Tensor, change: dict[str, Any], error: type[Exception], match: str
) -> None:
    a = quantised
    keywords = {"scale": a.scale, "group_size": 64, **change}
    with pytest.raises(error, match=match):
        sg.Sparse24Tensor(a.values, a.metadata, a.shape, **keywords)


def test_only_8_and_4_bits_of_2_4_have_groups() -> None:
    for dtype, pattern in ((np.float16, "2:4"), (ml_dtypes.int4, "4:8")):
        a = sg.compress(np.zeros((2, 64), dtype), pattern=pattern)
        with pytest.raises(ValueError, match="group_size is 32, but the matrix is"):
            sg.Sparse24Tensor(
                *(a.values, a.metadata, a.shape),
                pattern=pattern,
                scale=np.ones((2, 2), np.float16),
                group_size=32,
            )


def test_reference_linear_multiplies_with_scaled_elements() -> None:
    """Each product is rounded to x's type, after the scale is: docs/format.md."""
    w = matrix((6, 100)).astype(ml_dtypes.bfloat16)
    x = np.random.default_rng(4).standard_normal((3, 100)).astype(np.float16)
    a = sg.quantize(w, "int8", group_size=32)
    scale = a.scale.astype(np.float16).repeat(32, axis=1)[:, :100]
    scaled = (a.to_dense().astype(np.float32) * scale.astype(np.float32)).astype(np.float16)
    expected = x.astype(np.float64) @ scaled.astype(np.float64).T
    np.testing.assert_array_equal(reference.linear(x, a), expected.astype(np.float16))


def test_an_int4_matrix_that_is_not_pairwise_is_told_what_it_is() -> None:
    w = np.array([[1, 0, 2, 0, 3, 0, 4, 0]], ml_dtypes.int4)
    for call in (sg.check, sg.compress):
        with pytest.raises(sg.SparsityError, match="is 2:4, but not pairwise 4:8") as found:
            call(w, pattern="4:8")
        assert (found.value.row, found.value.group) == (0, 0)
    with pytest.raises(sg.SparsityError) as neither:
        sg.check(np.ones((1, 8), ml_dtypes.int4), pattern="4:8")
    assert "pairwise" not in str(neither.value)
