"""Batches of compressed matrices [B, M, K] on a device: storage bit for bit, and products of
integers, which are exact, against einsum."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
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
    rows_on_this_device,
    same,
    sparse,
)

import sparse_gemm as sg
from sparse_gemm import reference
from sparse_gemm.format import device_format
from sparse_gemm.format.patterns import pack_nibbles
from sparse_gemm.planning.tuning import forced

NAMES = names_on_this_device()
WEIGHT_ONLY = [name for name in NAMES if TYPES[name].is_weight_only]
STORED = [(types.pattern, types.a, False) for types in TYPES.values()]
STORED = [*dict.fromkeys(STORED), ("4:8", "int4", True)]
INT4 = DTYPES["int4"]
# Batch, M, K: about strips of 16 rows, which end with a matrix, and tiles along K.
SHAPES = [(3, 5, 33), (2, 17, 130), (4, 16, 257), (1, 33, 8), (5, 1, 1), (2, 40, 300)]
EMPTY = [(0, 3, 8), (2, 0, 8), (2, 3, 0)]

pytestmark = pytest.mark.usefixtures("allow_tf32")


def matrices(types: Types, shape: tuple[int, int, int]) -> Array:
    rng = np.random.default_rng(shape)
    found = [sparse(rng, types, *shape[1:]) for _ in range(shape[0])]
    return np.array(found, DTYPES[types.a]).reshape(shape)


def host(w: Array, types: Types) -> sg.Sparse24Tensor:
    return sg.compress(w, pattern=types.pattern)


def put(library: Library, a: sg.Sparse24Tensor) -> sg.Sparse24Tensor:
    """A matrix of the host on the device, packed by it."""
    return sg.Sparse24Tensor(
        *(library.put(a.values), library.put(a.metadata), a.shape),
        pattern=a.pattern,
        dtype="int4" if a.dtype == INT4 else None,
        scale=None if a.scale is None else library.put(a.scale),
        group_size=a.group_size,
        backend=library.backend,
    )


def put_columns(library: Library, b: Array) -> Any:
    """`b` [..., N, K] as [..., K, N]; of int4 two a byte."""
    if b.dtype == INT4:
        packed = pack_nibbles(b.reshape(math.prod(b.shape[:-1]), b.shape[-1]))
        b = packed.reshape(*b.shape[:-1], packed.shape[1])
    return library.put(b).swapaxes(-1, -2)


def product(w: Array, b: Array, types: Types, out: str | None = None) -> Array:
    """`w` [B, M, K] by `b` [B, N, K] or [N, K]."""
    indices = "bnk" if b.ndim == 3 else "nk"
    wide = np.einsum(f"bmk,{indices}->bmn", w.astype(np.float64), b.astype(np.float64))
    return wide.astype(DTYPES[out or types.out_types[0]])


# ---------------------------------------------------------------------------------------- storage


def same_bits(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize(("pattern", "dtype", "as_8_bit"), STORED)
def test_each_matrix_is_packed_as_it_is_alone(
    library: Library, pattern: str, dtype: str, as_8_bit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By compress and from canonical parts, and back."""
    monkeypatch.setattr(device_format, "stores_as_8_bit", lambda *_: as_8_bit)
    types = Types(pattern, dtype, dtype)
    for shape in (*SHAPES, *EMPTY):
        w = matrices(types, shape)
        canonical = host(w, types)
        made = [put(library, canonical)]
        if w.dtype != INT4 or library.name == "numpy":
            given = library.put(w)
            made.append(sg.compress(given, pattern=pattern, backend=library.backend))
        for a in made:
            assert a.shape == shape
            alone = [put(library, host(matrix, types)) for matrix in w]
            for part in ("_values", "_metadata"):
                found = [library.get(getattr(one, part)) for one in alone]
                whole = library.get(getattr(a, part))
                assert same_bits(whole, np.concatenate([whole[:0], *found]))
            assert same_bits(library.get(a.values), canonical.values)
            assert same_bits(library.get(a.metadata), canonical.metadata)
            dense = a.to_dense()
            assert same_bits(dense if w.dtype == INT4 else library.get(dense), w)


@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_scales_of_groups_are_packed_for_each_matrix(library: Library, group_size: int) -> None:
    for shape in (*SHAPES, *EMPTY):
        canonical = host(matrices(TYPES["s8_f16"], shape), TYPES["s8_f16"])
        columns = -(-shape[2] // group_size)
        scale = np.random.default_rng(shape).random((*shape[:2], columns)).astype(np.float16)
        parts = (canonical.values, canonical.metadata, shape)
        a = put(library, sg.Sparse24Tensor(*parts, scale=scale, group_size=group_size))
        assert a.scale is not None
        assert same_bits(library.get(a.scale), scale)


def test_prune_and_check_take_a_batch_of_any_strides(library: Library) -> None:
    w = np.random.default_rng(0).integers(-9, 10, (3, 17, 70)).astype(np.float16)
    pruned = np.array([reference.prune(matrix) for matrix in w])
    given = library.put(w)
    found = sg.prune(given, backend=library.backend)
    assert same_bits(library.get(found), pruned)
    sg.check(found, backend=library.backend)
    a = sg.compress(given.swapaxes(0, 1), policy="prune", backend=library.backend)
    assert same_bits(library.get(a.to_dense()), pruned.swapaxes(0, 1).copy())
    a = sg.compress(given[:, 1:], policy="prune", backend=library.backend)
    assert same_bits(library.get(a.to_dense()), pruned[:, 1:].copy())


def test_what_is_not_sparse_is_named_by_matrix_row_and_group(library: Library) -> None:
    w = matrices(TYPES["f16"], (3, 18, 70))
    w[1, 17, 4:8], w[2, 0, :4] = (1, 2, 3, 4), 7
    given = library.put(w)
    for refuse in (sg.check, sg.compress):
        with pytest.raises(sg.SparsityError, match="matrix 1, row 17, group 1 ") as caught:
            refuse(given, backend=library.backend)
        assert (caught.value.batch, caught.value.row, caught.value.group) == (1, 17, 1)
        assert caught.value.values == (1, 2, 3, 4)


def test_a_packed_batch_can_be_pickled(device: Library) -> None:
    a = put(device, host(matrices(TYPES["s8"], (3, 18, 70)), TYPES["s8"]))
    b = pickle.loads(pickle.dumps(a))
    assert b.shape == a.shape
    assert same_bits(device.get(b.to_dense()), device.get(a.to_dense()))


# --------------------------------------------------------------------------------------- products


@pytest.mark.parametrize("name", NAMES)
def test_products(library: Library, name: str) -> None:
    """With a B for each matrix and with one for all; few columns and many."""
    types = TYPES[name]
    for shape, n in zip(SHAPES, (7, 1, 9, 8, 1, 65), strict=True):
        w = matrices(types, shape)
        b = integers(np.random.default_rng(n), types, "b", shape[0], n, shape[2])
        a = put(library, host(w, types))
        for given in (b, b[0]):
            d = sg.matmul(a, put_columns(library, given), accumulate=types.accumulate)
            assert same(library.get(d), product(w, given, types)), f"{name} {shape} N={n}"


@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("name", WEIGHT_ONLY)
def test_scales_of_groups(device: Library, name: str, group_size: int) -> None:
    types, (batch, m, k), n = TYPES[name], (3, 18, 300), 5
    rng = np.random.default_rng(group_size)
    w = matrices(types, (batch, m, k))
    b = integers(rng, types, "b", batch, n, k)
    columns = -(-k // group_size)
    scale = np.exp2(rng.integers(-1, 2, (batch, m, columns))).astype(DTYPES[types.b])
    found = host(w, types)
    parts = (found.values, found.metadata, found.shape)
    names = {"dtype": "int4"} if w.dtype == INT4 else {}
    a = put(device, sg.Sparse24Tensor(*parts, scale=scale, group_size=group_size, **names))
    scaled = w.astype(np.float64) * scale.astype(np.float64).repeat(group_size, axis=2)[..., :k]
    d = sg.matmul(a, put_columns(device, b), out_dtype="float32")
    assert same(device.get(d), product(scaled, b, types, "float32"))


def test_strides(library: Library) -> None:
    """N contiguous, reversed batches, a batch of stride 0, rows apart."""
    types, (batch, m, k), n = TYPES["f16"], (3, 18, 64), 10
    w = matrices(types, (batch, m, k))
    b = integers(np.random.default_rng(0), types, "b", batch, 2 * n, 2 * k)
    a, given = put(library, host(w, types)), library.put(b)
    rows = library.put(b.swapaxes(1, 2))  # [B, 2 K, 2 N]
    for columns, expected in (
        (rows[:, :k, :n], b[:, :n, :k]),
        (rows[:, ::2, ::2], b[:, ::2, ::2]),
        (given[:, ::2, k:].swapaxes(1, 2), b[:, ::2, k:]),
        (given[:, :n, 1 : k + 1].swapaxes(1, 2), b[:, :n, 1 : k + 1]),
    ):
        assert same(library.get(sg.matmul(a, columns)), product(w, expected, types))
    if library.name == "torch":
        every = rows[:1, :k, :n].expand(batch, k, n)
        assert same(library.get(sg.matmul(a, every)), product(w, b[0, :n, :k], types))


def test_terms(library: Library) -> None:
    types, (batch, m, k), n = TYPES["s8"], (3, 18, 70), 9
    w = matrices(types, (batch, m, k))
    rng = np.random.default_rng(0)
    b = integers(rng, types, "b", batch, n, k)
    bias, a_scale, b_scale = (rng.integers(1, 5, x).astype(np.float32) for x in (m, m, n))
    residual = rng.integers(-4, 5, (batch, m, n)).astype(np.float32)
    expected = a_scale[:, None] * b_scale * product(w, b, types, "float32") + bias[:, None]
    expected = np.maximum(expected, 0) + 2 * residual
    out = library.put(np.zeros((batch, m, n), np.float32))
    terms = {"bias": bias, "a_scale": a_scale, "b_scale": b_scale, "residual": residual}
    given = {name: library.put(term) for name, term in terms.items()}
    a = put(library, host(w, types))
    assert (
        sg.matmul(a, put_columns(library, b), activation="relu", beta=2.0, out=out, **given) is out
    )
    assert same(library.get(out), expected)


@pytest.mark.parametrize("name", ["f16", "s8"])
def test_tiles_of_every_matrix_may_be_shared(device: Library, name: str) -> None:
    types, (batch, m, k), n = TYPES[name], (3, 70, 400), 20
    w = matrices(types, (batch, m, k))
    b = integers(np.random.default_rng(0), types, "b", batch, n, k)
    a, columns, expected = put(device, host(w, types)), put_columns(device, b), product(w, b, types)
    for row in [row for row in rows_on_this_device() if row["multiply"] == name]:
        for num_ctas in (2, 5):
            with forced(row["index"], num_ctas, 0):
                d = device.get(sg.matmul(a, columns))
            assert same(d, expected), f"{row['config']} {num_ctas}"


def test_a_batch_is_one_launch(device: Library, emulator: Any, tmp_path: Path) -> None:
    types = TYPES["f16"]
    a = put(device, host(matrices(types, (5, 18, 70)), types))
    b = device.put(np.ones((5, 70, 3), np.float16))
    assert len(emulator.launches(lambda: sg.matmul(a, b), tmp_path / "matmul")) == 1
    w = device.put(matrices(types, (5, 18, 70)))
    compress = emulator.launches(lambda: sg.compress(w, backend="cuda"), tmp_path / "compress")
    assert len(compress) == 1


def test_nothing_times_something(library: Library) -> None:
    types = TYPES["f16"]
    for batch, m, k in EMPTY:
        a = put(library, host(np.zeros((batch, m, k), np.float16), types))
        d = sg.matmul(a, library.put(np.ones((batch, k, 3), np.float16)))
        assert same(library.get(d), np.zeros((batch, m, 3), np.float16))


def test_the_plan_is_of_the_whole_batch(device: Library) -> None:
    w = matrices(TYPES["f16"], (3, 64, 256))
    one, all_three = (sg.plan(put(device, host(x, TYPES["f16"])), 4) for x in (w[0], w))
    assert (one.batch, all_three.batch) == (1, 3)
    assert all_three.a_bytes == 3 * one.a_bytes
    assert all_three.num_tiles == 3 * one.num_tiles or all_three.kernel != one.kernel


def test_what_does_not_fit_is_refused(library: Library) -> None:
    a = put(library, host(matrices(TYPES["f16"], (3, 18, 70)), TYPES["f16"]))
    with pytest.raises(ValueError, match=r"a batch; expected one matrix"):
        sg.linear(library.put(np.ones((3, 5, 70), np.float16)), a)
    for shape in ((70,), (2, 70, 5), (1, 70, 5), (1, 3, 70, 5)):
        with pytest.raises(ValueError, match=r"expected \[70, N\] or \[3, 70, N\]"):
            sg.matmul(a, library.put(np.ones(shape, np.float16)))
