"""Every combination of types through the public functions, and every row of the kernel table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device_arrays import Array, Library
from typed_cases import (
    DTYPES,
    TYPES,
    Types,
    integers,
    names_on_this_device,
    put_dense,
    put_matrix,
    rows_on_this_device,
    same,
    scaled,
    sparse,
    widened,
)

import sparse_gemm as sg
from sparse_gemm import reference
from sparse_gemm.planning.tuning import forced

NAMES = names_on_this_device()
WEIGHT_ONLY = [name for name in NAMES if TYPES[name].is_weight_only]
INTEGER = [name for name in NAMES if TYPES[name].is_integer]
BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "int4": 4}


pytestmark = pytest.mark.usefixtures("allow_tf32")


def check(
    library: Library,
    types: Types,
    m: int,
    n: int,
    k: int,
    *,
    out_dtype: str | None = None,
    group_size: int | None = None,
    **terms: Any,
) -> None:
    """linear of integers is the reference's, bit for bit."""
    rng = np.random.default_rng((m, n, k))
    c = reference.compress(sparse(rng, types, m, k), pattern=types.pattern)
    x = integers(rng, types, "b", n, k)
    scale = None
    stored = c
    if group_size is not None:  # powers of two: products stay exact
        scale = np.exp2(rng.integers(-2, 3, (m, -(-k // group_size)))).astype(DTYPES[types.b])
        stored = reference.compress(scaled(c, scale, group_size, types.b))
    dtype = out_dtype or types.out_types[0]
    expected = reference.linear(widened(x), stored, out_dtype=DTYPES[dtype], **terms)
    given = {
        name: library.put(term) if isinstance(term, np.ndarray) else term
        for name, term in terms.items()
    }
    y = sg.linear(
        put_dense(library, x),
        put_matrix(library, c, scale, group_size),
        out_dtype=out_dtype,
        accumulate=types.accumulate,
        **given,
    )
    assert same(library.get(y), expected), f"{types}, M={m} N={n} K={k} {out_dtype} {group_size}"


@pytest.mark.parametrize("name", NAMES)
def test_shapes(library: Library, name: str) -> None:
    """One token and several, ragged tiles, groups that are cut, and more stages than a ring has."""
    for m, n, k in (
        *((1, 1, 1), (1, 1, 2), (2, 3, 5), (16, 8, 31), (17, 9, 33), (30, 1, 64), (15, 16, 65)),
        *((33, 7, 127), (70, 2, 129), (64, 17, 256), (5, 33, 257), (40, 5, 777), (130, 1, 2056)),
    ):
        check(library, TYPES[name], m, n, k)


@pytest.mark.parametrize("name", NAMES)
def test_many_tokens(device: Library, name: str) -> None:
    for m, n, k in ((70, 64, 130), (129, 65, 64), (40, 130, 257), (257, 129, 33)):
        check(device, TYPES[name], m, n, k)


@pytest.mark.parametrize("name", NAMES)
def test_output_types(library: Library, name: str) -> None:
    types = TYPES[name]
    for out_dtype in types.out_types:
        check(library, types, 35, 9, 130, out_dtype=out_dtype)


@pytest.mark.parametrize("name", NAMES)
def test_terms(device: Library, name: str) -> None:
    """All that is linear, of numbers that keep every step exact."""
    types, (m, n, k) = TYPES[name], (35, 11, 96)
    rng = np.random.default_rng(1)
    halves = {
        "bias": rng.integers(-8, 9, m).astype(np.float16),
        "x_scale": np.exp2(rng.integers(-1, 2, n)).astype(np.float32),
        "w_scale": np.exp2(rng.integers(-1, 2, m)).astype(np.float32),
        "residual": rng.integers(-8, 9, (n, m)).astype(np.float32),
    }
    for out_dtype in ("float32", types.out_types[0] if not types.is_integer else "int8"):
        check(
            device,
            types,
            m,
            n,
            k,
            out_dtype=out_dtype,
            activation="relu",
            alpha=0.5,
            beta=2.0,
            **halves,
        )


@pytest.mark.parametrize("name", INTEGER)
def test_integers_are_rounded_to_even_and_saturated(device: Library, name: str) -> None:
    half = np.full(1, 0.5, np.float32)
    for k in (8, 300):
        check(device, TYPES[name], 40, 9, k, out_dtype="int8", w_scale=half)


@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_scales_of_groups(library: Library, name: str, group_size: int) -> None:
    for m, n, k in ((1, 1, 1), (33, 1, 128), (17, 9, 97), (70, 5, 320), (16, 40, 513)):
        check(library, TYPES[name], m, n, k, group_size=group_size)


def all_elements(dtype: str) -> Array:
    """One of each that the type has."""
    if dtype == "int4":
        return np.arange(-8, 8).astype(DTYPES[dtype])
    return np.arange(256, dtype=np.uint8).view(DTYPES[dtype])


@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_every_element_becomes_what_it_is(device: Library, name: str) -> None:
    """Each alone in its row, as the others of a row with nan or inf are nan."""
    types = TYPES[name]
    elements = all_elements(types.a)
    rows = np.arange(len(elements))
    columns = 7 * rows % 64  # all places of a group
    w = np.zeros((len(elements), 64), elements.dtype)
    w[rows, columns] = elements
    unit = device.put(np.eye(64, dtype=DTYPES[types.b]))
    a = put_matrix(device, reference.compress(w))
    y = device.get(sg.linear(unit, a, out_dtype="float32")).T[rows, columns]
    np.testing.assert_array_equal(y, elements.astype(np.float32))
    bits = elements.astype(np.float32).view(np.uint32)
    assert ((y.view(np.uint32) >> 31) == (bits >> 31))[~np.isnan(y) & (y != 0)].all()


@pytest.mark.parametrize("scale_dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_scales_are_rounded_as_it_is_said(
    device: Library, name: str, group_size: int, scale_dtype: str
) -> None:
    """Times a unit matrix, so that the result is the matrix that was multiplied."""
    types, (m, k) = TYPES[name], (48, 264)
    elements = all_elements(types.a)
    elements = elements[np.isfinite(elements.astype(np.float32))]
    rng = np.random.default_rng(2)
    kept = rng.random((m, k // 4, 4)).argsort(axis=-1) < 2
    w = np.zeros((m, k), elements.dtype)
    w[kept.reshape(m, k)] = rng.permutation(np.resize(elements, m * k // 2))
    c = reference.compress(w)
    scale = rng.uniform(2.0**-7, 1.0, (m, -(-k // group_size))).astype(DTYPES[scale_dtype])
    expected = scaled(c, scale, group_size, types.b).astype(np.float32)
    unit = device.put(np.eye(k, dtype=DTYPES[types.b]))
    y = device.get(sg.linear(unit, put_matrix(device, c, scale, group_size), out_dtype="float32"))
    assert same(y.T, expected)


@pytest.mark.parametrize("name", NAMES)
def test_matmul_in_batches(device: Library, name: str) -> None:
    types, (m, n, k) = TYPES[name], (20, 9, 72)
    rng = np.random.default_rng(3)
    c = reference.compress(sparse(rng, types, m, k), pattern=types.pattern)
    a = put_matrix(device, c)
    x = integers(rng, types, "b", 2, 3, n, k)
    residual = rng.integers(-4, 5, (2, 3, m, n)).astype(np.float16)
    expected = np.stack(
        [reference.linear(widened(item), c, out_dtype=np.float32).T for item in x.reshape(6, n, k)]
    ).reshape(2, 3, m, n)
    b = put_dense(device, x).swapaxes(-1, -2)
    how = {"out_dtype": "float32", "accumulate": types.accumulate}
    assert same(device.get(sg.matmul(a, b, **how)), expected)
    d = sg.matmul(a, b, residual=device.put(residual), beta=2.0, **how)
    assert same(device.get(d), expected + 2 * residual)
    assert same(device.get(sg.matmul(a, b[0, 1], **how)), expected[0, 1])
    every_other = sg.matmul(a, b[:, ::2], **how)  # no single stride
    assert same(device.get(every_other), expected[:, ::2])


def row_id(row: dict[str, Any]) -> str:
    return f"{row['multiply']}-{row['config']}-{row['b_load']}"


@pytest.mark.parametrize("row", rows_on_this_device(), ids=row_id)
def test_every_row_of_the_table(device: Library, row: dict[str, Any]) -> None:
    """Whole tiles and shared ones; K of less than a stage, of all stages of a ring and of more."""
    types = TYPES[row["multiply"]]
    per_16_bytes = 128 // BITS.get(types.b, 8)
    deep = 16 * 4 * row["warps_k"] * (row["num_stages"] + 2)
    for m, n, k in (
        (row["tile_m"] + 3, row["tile_n"] + 1, 3),
        (7, row["tile_n"] - 1, 64),
        (row["tile_m"], 2, deep + 5),
        (row["tile_m"] + 17, row["tile_n"] + 2, 2 * deep),
    ):
        if row["b_load"] == "aligned":
            k = -(-k // per_16_bytes) * per_16_bytes
        with forced(row["index"]):
            check(device, types, m, n, k)
        for num_ctas in (2, 3):
            with forced(row["index"], num_ctas, 0):
                check(device, types, m, n, k)


SLICED = [row for row in rows_on_this_device() if row["warps_k"] > 1]


@pytest.mark.parametrize("row", SLICED, ids=row_id)
def test_a_last_stage_with_fewer_slices(device: Library, row: dict[str, Any]) -> None:
    """Warps whose slice of K does not exist add nothing, whatever the others' weights are."""
    types, slice_k = TYPES[row["multiply"]], row["stage_k"] // row["warps_k"]
    m, n = row["tile_m"] + 3, row["tile_n"]
    for slices in range(1, row["warps_k"] + 1):
        k = row["stage_k"] + slices * slice_k - 32
        with forced(row["index"]):
            check(device, types, m, n, k)
            check(device, types, m, n, k, group_size=32 if types.is_weight_only else None)
        if row["multiply"] not in ("f16", "bf16"):
            continue
        w = np.zeros((m, k), DTYPES[types.a])
        w[:, row["stage_k"]] = np.inf  # in the first slice of the last stage
        x = np.ones((n, k), DTYPES[types.b])
        with forced(row["index"]):
            y = device.get(sg.linear(device.put(x), put_matrix(device, reference.compress(w))))
        assert np.isposinf(y.astype(np.float32)).all()


@pytest.mark.parametrize("b_load", ["aligned", "any"])
def test_every_type_has_rows_that_the_device_can_run(device: Library, b_load: str) -> None:
    rows = [row for row in rows_on_this_device() if row["b_load"] == b_load]
    assert {row["multiply"] for row in rows} == set(NAMES)
