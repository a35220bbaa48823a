"""prune, check, compress, decompress and packed storage on a device, bit for bit."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Array, Library

import sparse_gemm as sg
from sparse_gemm import _C, device_format, reference

FLOAT16, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
DTYPES = (FLOAT16, BFLOAT16)
# About the tile of packed storage, 16 x 64, and about groups and bytes of metadata.
SHAPES = [(1, 1), (1, 4), (3, 5), (15, 63), (16, 64), (17, 65), (33, 130), (2, 8), (5, 6), (64, 7)]
SHAPES += [(40, 256), (0, 8), (4, 0), (130, 1)]
C_DTYPES = {FLOAT16: _C.DType.float16, BFLOAT16: _C.DType.bfloat16}


def any_bits(shape: tuple[int, int], dtype: Any, zeros: float = 0.3) -> Array:
    """Every kind of element: normal, subnormal, inf, nan with any payload, zeros of both signs."""
    rng = np.random.default_rng(shape)
    bits = rng.integers(0, 2**16, shape, dtype=np.uint16)
    bits = np.where(rng.random(shape) < zeros, bits & 0x8000, bits)
    return bits.view(dtype)


def same_bits(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prune_compress_and_to_dense(device: Library, shape: tuple[int, int], dtype: Any) -> None:
    w = any_bits(shape, dtype)
    pruned = sg.prune(device.put(w), backend=device.backend)
    assert same_bits(device.get(pruned), reference.prune(w))
    sg.check(pruned, backend=device.backend)
    expected = reference.compress(reference.prune(w))
    for a in (
        sg.compress(pruned, backend=device.backend),
        sg.compress(device.put(w), policy="prune", backend=device.backend),
    ):
        assert same_bits(device.get(a.values), expected.values)
        assert same_bits(device.get(a.metadata), expected.metadata)
        assert same_bits(device.get(a.to_dense()), reference.decompress(expected))


@pytest.mark.parametrize("k", [70, 72])  # rows that begin anywhere; at multiples of 8 bytes
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_matrices_of_any_strides(library: Library, dtype: Any, k: int) -> None:
    w = any_bits((18, k), dtype)
    expected = reference.compress(w, policy="prune")
    wide = np.concatenate([w, np.ones((18, 3), dtype)], axis=1)
    flat = np.concatenate([np.ones(1, dtype), w.reshape(-1)])
    for strided in (
        library.put(w.T).T,
        library.put(wide)[:, :k],
        library.put(np.repeat(w, 2, axis=1))[:, ::2],
        library.put(flat)[1:].reshape(18, k),
    ):
        a = sg.compress(strided, policy="prune", backend=library.backend)
        assert same_bits(library.get(a.values), expected.values)
        assert same_bits(library.get(a.metadata), expected.metadata)
        pruned = sg.prune(strided, backend=library.backend)
        assert same_bits(library.get(pruned), reference.prune(w))


@pytest.mark.parametrize("place", [(0, 0), (0, 17), (16, 3), (40, 17)], ids=str)
@pytest.mark.parametrize("call", ["check", "compress"])
def test_the_first_violating_group_is_named(
    device: Library, call: str, place: tuple[int, int]
) -> None:
    row, group = place
    w = reference.prune(np.random.default_rng(0).standard_normal((41, 70)).astype(FLOAT16))
    last = min(4 * group + 4, 70)
    w[row, 4 * group : last] = range(1, last - 4 * group + 1)
    if row < 40:
        w[40, 20:24] = 1, 2, 3, 4
    if last - 4 * group < 3:
        w[row, 60:64] = 1, 2, 3, 0  # the last group, of two elements, can hold no violation
        group = 15
    with pytest.raises(sg.SparsityError) as expected:
        reference.check(w)
    with pytest.raises(sg.SparsityError) as found:
        getattr(sg, call)(device.put(w), backend=device.backend)
    assert str(found.value) == str(expected.value)
    assert (found.value.row, found.value.group) == (row, group)


def test_the_first_of_many_violations_is_named(device: Library) -> None:
    """A lane sees eight groups, and not in the order of rows."""
    w = np.ones((20, 132), FLOAT16)
    for row, group in ((0, 0), (0, 1), (3, 9), (8, 0), (17, 32)):
        w[:row], w[row, : 4 * group] = 0, 0
        with pytest.raises(sg.SparsityError) as found:
            sg.check(device.put(w), backend=device.backend)
        assert (found.value.row, found.value.group) == (row, group)


@pytest.mark.parametrize("k", [70, 72])
def test_memory_that_begins_at_any_element(device: Library, k: int) -> None:
    """Canonical parts that are given, and what is made: where allocators do not put it."""
    w = any_bits((18, k), FLOAT16)
    expected = reference.compress(w, policy="prune")
    shifted = np.concatenate([np.ones(1, FLOAT16), expected.values.reshape(-1)])
    values = device.put(shifted)[1:].reshape(expected.values.shape)
    a = sg.Sparse24Tensor(values, device.put(expected.metadata), w.shape, backend=device.backend)
    kind = a._kind

    def empty(like: Any, shape: Any, dtype: Any) -> Any:
        return kind.empty(like, (math.prod(shape) + 1,), dtype)[1:].reshape(*shape)

    off = dataclasses.replace(kind, empty=empty)
    parts = (off, a._values, a._metadata, a._matrix, a._cuda)
    found_values, found_metadata = device_format.unpack(*parts)
    assert same_bits(device.get(found_values), expected.values)
    assert same_bits(device.get(found_metadata), expected.metadata)
    dense = device_format.decompress(*parts)
    assert same_bits(device.get(dense), reference.decompress(expected))


def test_minus_zero_is_zero_and_nan_is_not(device: Library) -> None:
    w = np.zeros((2, 8), FLOAT16)
    w[0, :4] = 1, -0.0, -0.0, 2
    sg.check(device.put(w), backend=device.backend)
    w[1, 4:] = np.nan, np.nan, np.nan, -0.0
    with pytest.raises(sg.SparsityError, match="row 1, group 1"):
        sg.check(device.put(w), backend=device.backend)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_canonical_parts_come_back_from_packed_storage(
    device: Library, shape: tuple[int, int]
) -> None:
    expected = reference.compress(any_bits(shape, FLOAT16), policy="prune")
    parts = (device.put(expected.values), device.put(expected.metadata))
    a = sg.Sparse24Tensor(*parts, shape, backend=device.backend)
    assert same_bits(device.get(a.values), expected.values)
    assert same_bits(device.get(a.metadata), expected.metadata)
    assert same_bits(device.get(a.to_dense()), reference.decompress(expected))


def packed_by_the_specification(expected: reference.Compressed) -> tuple[Array, Array]:
    """Packed values and metadata of canonical ones, group by group: docs/format.md, section 9."""
    m, k = expected.shape
    strips, k_tiles = -(-m // 16), -(-k // 64)
    words = np.zeros((strips * k_tiles, 256, 2), np.uint16)
    metadata = np.zeros((strips * k_tiles, 32), np.uint32)
    values = expected.values.view(np.uint16)
    for row in range(16 * strips):
        for group in range(16 * k_tiles):
            tile, g, r = row // 16 * k_tiles + group // 16, group % 16, row % 16
            k_step, lane = g // 8, 4 * (r % 8) + g % 4
            nibble = 0xE
            if row < m and 4 * group < k:
                nibble = expected.metadata[row, group // 2] >> 4 * (group % 2) & 0xF
                kept = values[row, 2 * group : 2 * group + 2]
                words[tile, 128 * k_step + 4 * lane + r // 8 + 2 * (g % 8 // 4)] = kept
            word = 4 * (r % 8) + 2 * k_step + g % 8 // 4
            metadata[tile, word] |= np.uint32(int(nibble) << 16 * (r // 8) + 4 * (g % 4))
    return words.reshape(-1), metadata.view(np.uint8).reshape(-1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_packed_storage_is_what_the_specification_says(
    device: Library, shape: tuple[int, int]
) -> None:
    w = any_bits(shape, FLOAT16)
    expected = reference.compress(w, policy="prune")
    parts = (device.put(expected.values), device.put(expected.metadata))
    values, metadata = packed_by_the_specification(expected)
    for a in (
        sg.compress(device.put(w), policy="prune", backend=device.backend),
        sg.Sparse24Tensor(*parts, shape, backend=device.backend),
    ):
        assert device.get(a._values).tobytes() == values.tobytes()
        assert device.get(a._metadata).tobytes() == metadata.tobytes()


def test_every_legal_nibble_survives_packing(device: Library) -> None:
    """Also those that `compress` does not choose: a reader of other files may bring them."""
    rng = np.random.default_rng(1)
    nibbles = rng.choice(reference.PATTERNS["2:4"].nibbles, (20, 34)).astype(np.uint8)
    metadata = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    values = rng.integers(-4, 5, (20, 68)).astype(FLOAT16)
    a = sg.Sparse24Tensor(
        device.put(values), device.put(metadata), (20, 136), backend=device.backend
    )
    assert same_bits(device.get(a.metadata), metadata)
    stored = reference.Compressed(values, metadata, (20, 136), "2:4", FLOAT16)
    assert same_bits(device.get(a.to_dense()), reference.decompress(stored))
    x = rng.integers(-4, 5, (6, 136)).astype(FLOAT16)
    expected = reference.linear(x, stored)
    np.testing.assert_array_equal(device.get(sg.linear(device.put(x), a)), expected)


@pytest.mark.parametrize("nibble", [0x0, 0x5, 0x1, 0xF])
def test_metadata_without_meaning_is_refused(device: Library, nibble: int) -> None:
    metadata = np.full((4, 2), 0x44, np.uint8)
    metadata[2, 1] = 0x40 | nibble
    with pytest.raises(sg.SparsityError, match=rf"row 2, group 2 holds 0x{nibble:X}"):
        sg.Sparse24Tensor(
            device.put(np.ones((4, 8), FLOAT16)),
            device.put(metadata),
            (4, 16),
            backend=device.backend,
        )


def test_packed_storage_is_hardly_larger_than_canonical(device: Library) -> None:
    for m, k in ((1024, 1024), (1000, 4096), (4096, 4100)):
        w = np.zeros((m, k), FLOAT16)
        a = sg.compress(device.put(w), backend=device.backend)
        canonical = m * (-(-k // 4) * 4 + -(-k // 8))
        assert a.nbytes <= 1.02 * canonical
