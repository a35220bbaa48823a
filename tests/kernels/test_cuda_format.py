"""prune, check, compress, decompress and packed storage on a device, bit for bit."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from device_arrays import Array, Library
from packed_specification import Case, packed_by_the_specification, packed_scales

import sparse_gemm as sg
from sparse_gemm import _C, reference
from sparse_gemm.format import device_format

FLOAT16 = np.dtype(np.float16)
CASES = [
    Case("2:4", FLOAT16, 64),
    Case("2:4", np.dtype(ml_dtypes.bfloat16), 64),
    Case("2:4", np.dtype(np.int8), 128),
    Case("2:4", np.dtype(ml_dtypes.float8_e4m3fn), 128),
    Case("2:4", np.dtype(ml_dtypes.float8_e5m2), 128),
    Case("2:4", np.dtype(ml_dtypes.int4), 128),
    Case("1:2", np.dtype(np.float32), 32),
    Case("4:8", np.dtype(ml_dtypes.int4), 256),
    Case("4:8", np.dtype(ml_dtypes.int4), 256, as_8_bit=True),
]
# About tiles of packed storage, 16 x 32 to 256, and about groups and bytes of metadata.
SHAPES = [(1, 1), (1, 4), (3, 5), (15, 63), (16, 64), (17, 65), (33, 130), (2, 8), (5, 6), (64, 7)]
SHAPES += [(40, 256), (0, 8), (4, 0), (130, 1), (18, 523)]

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Each case; 4:8 is stored as the case says, whatever the device at hand is."""
    found: Case = request.param
    if found.pattern == "4:8":
        monkeypatch.setattr(device_format, "stores_as_8_bit", lambda *_: found.as_8_bit)
    return found


def any_bits(shape: tuple[int, int], dtype: Any, zeros: float = 0.3) -> Array:
    """Every kind of element: normal, subnormal, inf, nan with any payload, zeros of both signs."""
    rng = np.random.default_rng(shape)
    is_zero = rng.random(shape) < zeros
    if dtype == ml_dtypes.int4:
        return np.where(is_zero, 0, rng.integers(-8, 8, shape)).astype(dtype)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    bits = rng.integers(0, 2 ** (8 * dtype.itemsize), shape, dtype=unsigned)
    sign = 0 if dtype == np.int8 else 1 << (8 * dtype.itemsize - 1)
    return np.where(is_zero, bits & unsigned.type(sign), bits).astype(unsigned).view(dtype)


def same_bits(x: Array, y: Array) -> bool:
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


def put_dense(device: Library, case: Case, w: Array) -> Any:
    """`w` on the device; 4-bit elements have a dense array in NumPy alone."""
    if case.is_4_bit:
        if device.name != "numpy":
            pytest.skip(f"{device.name} has no dense arrays of 4-bit elements")
        return w.copy()
    return device.put(w)


def packed_tensor(device: Library, case: Case, c: reference.Compressed) -> sg.Sparse24Tensor:
    """The matrix of canonical parts, which the device is given."""
    parts = device.put(c.values), device.put(c.metadata)
    return sg.Sparse24Tensor(*parts, c.shape, pattern=case.pattern, backend=device.backend)


def assert_canonical(device: Library, a: sg.Sparse24Tensor, expected: reference.Compressed) -> None:
    assert same_bits(device.get(a.values), expected.values)
    assert same_bits(device.get(a.metadata), expected.metadata)
    assert same_bits(device.get(a.to_dense()), reference.decompress(expected))


@each_shape
def test_prune_compress_and_to_dense(device: Library, shape: tuple[int, int], case: Case) -> None:
    w = any_bits(shape, case.dtype)
    keywords: dict[str, Any] = {"pattern": case.pattern, "backend": device.backend}
    pruned = sg.prune(put_dense(device, case, w), **keywords)
    assert same_bits(device.get(pruned), reference.prune(w, case.pattern))
    sg.check(pruned, **keywords)
    expected = reference.compress(reference.prune(w, case.pattern), case.pattern)
    for a in (
        sg.compress(pruned, **keywords),
        sg.compress(put_dense(device, case, w), policy="prune", **keywords),
    ):
        assert a._cuda == 0
        assert_canonical(device, a, expected)


@pytest.mark.parametrize("k", [70, 72])  # rows that begin anywhere; at multiples of 8 elements
def test_matrices_of_any_strides(library: Library, case: Case, k: int) -> None:
    w = any_bits((18, k), case.dtype)
    put_dense(library, case, w)
    if case.is_4_bit:
        pytest.skip("4-bit elements are brought together on the host")
    expected = reference.compress(w, case.pattern, policy="prune")
    wide = np.concatenate([w, np.ones((18, 3), case.dtype)], axis=1)
    flat = np.concatenate([np.ones(1, case.dtype), w.reshape(-1)])
    keywords: dict[str, Any] = {"pattern": case.pattern, "backend": library.backend}
    for strided in (
        library.put(w.T).T,
        library.put(wide)[:, :k],
        library.put(np.repeat(w, 2, axis=1))[:, ::2],
        library.put(flat)[1:].reshape(18, k),
    ):
        a = sg.compress(strided, policy="prune", **keywords)
        assert_canonical(library, a, expected)
        pruned = sg.prune(strided, **keywords)
        assert same_bits(library.get(pruned), reference.prune(w, case.pattern))


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


def test_the_first_of_many_violations_is_named(device: Library, case: Case) -> None:
    """A lane sees many groups, and not in the order of rows."""
    size = case.group
    w = np.ones((20, 33 * size), case.dtype)
    for row, group in ((0, 0), (0, 1), (3, 9), (8, 0), (17, 32)):
        w[:row], w[row, : size * group] = 0, 0
        for call in (sg.check, sg.compress):
            dense = put_dense(device, case, w)
            with pytest.raises(sg.SparsityError) as found:
                call(dense, pattern=case.pattern, backend=device.backend)
            assert (found.value.row, found.value.group) == (row, group)


@pytest.mark.parametrize("k", [70, 72])
def test_memory_that_begins_at_any_element(device: Library, case: Case, k: int) -> None:
    """Canonical parts that are given, and what is made: where allocators do not put it."""
    w = any_bits((18, k), case.dtype)
    expected = reference.compress(w, case.pattern, policy="prune")
    shifted = np.concatenate([np.ones(1, expected.values.dtype), expected.values.reshape(-1)])
    values = device.put(shifted)[1:].reshape(expected.values.shape)
    a = sg.Sparse24Tensor(
        *(values, device.put(expected.metadata), w.shape),
        pattern=case.pattern,
        backend=device.backend,
    )
    kind = a._kind

    def empty(like: Any, shape: Any, dtype: Any) -> Any:
        return kind.empty(like, (math.prod(shape) + 1,), dtype)[1:].reshape(*shape)

    off = dataclasses.replace(kind, empty=empty)
    parts = (off, a._values, a._metadata, a._matrix, a._cuda)
    found_values, found_metadata = device_format.unpack(*parts)
    assert same_bits(device.get(found_values), expected.values)
    assert same_bits(device.get(found_metadata), expected.metadata)
    dense = device_format.decompress(*parts)
    assert device.get(dense).tobytes() == device.get(a._to_dense_packed()).tobytes()


def test_minus_zero_is_zero_and_nan_is_not(device: Library) -> None:
    w = np.zeros((2, 8), FLOAT16)
    w[0, :4] = 1, -0.0, -0.0, 2
    sg.check(device.put(w), backend=device.backend)
    w[1, 4:] = np.nan, np.nan, np.nan, -0.0
    with pytest.raises(sg.SparsityError, match="row 1, group 1"):
        sg.check(device.put(w), backend=device.backend)


@each_shape
def test_canonical_parts_come_back_from_packed_storage(
    device: Library, shape: tuple[int, int], case: Case
) -> None:
    w = any_bits(shape, case.dtype)
    expected = reference.compress(w, case.pattern, policy="prune")
    assert_canonical(device, packed_tensor(device, case, expected), expected)


@each_shape
def test_packed_storage_is_what_the_specification_says(
    device: Library, shape: tuple[int, int], case: Case
) -> None:
    w = any_bits(shape, case.dtype)
    expected = reference.compress(w, case.pattern, policy="prune")
    values, metadata = packed_by_the_specification(case, expected)
    tensors = [packed_tensor(device, case, expected)]
    if not case.is_4_bit or device.name == "numpy":
        dense = put_dense(device, case, w)
        keywords: dict[str, Any] = {"pattern": case.pattern, "backend": device.backend}
        tensors.append(sg.compress(dense, policy="prune", **keywords))
    for a in tensors:
        assert device.get(a._values).tobytes() == values.tobytes()
        assert device.get(a._metadata).tobytes() == metadata.tobytes()


def test_every_legal_nibble_survives_packing(device: Library, case: Case) -> None:
    """Also those that `compress` does not choose: a reader of other files may bring them."""
    rng = np.random.default_rng(1)
    geometry = reference.PATTERNS[case.pattern]
    shape = (20, 34 * case.group)
    nibbles = rng.choice(geometry.nibbles, (20, 34)).astype(np.uint8)
    metadata = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    if case.is_4_bit:
        columns = 34 * (2 if case.pattern == "4:8" else 1)
        values = rng.integers(0, 256, (20, columns)).astype(np.uint8)
    else:
        values = rng.integers(-4, 5, (20, 34 * geometry.kept)).astype(case.dtype)
    stored = reference.Compressed(values, metadata, shape, case.pattern, case.dtype)
    assert_canonical(device, packed_tensor(device, case, stored), stored)


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


def test_packed_storage_is_hardly_larger_than_canonical(device: Library, case: Case) -> None:
    for m, k in ((1024, 1024), (1000, 4096), (4096, 14340)):
        parts = (getattr(_C.Pattern, "k" + case.pattern.replace(":", "of")),)
        parts += (getattr(_C.DType, case.dtype.name),)
        sizes = (*parts, m, k, case.as_8_bit)
        packed = _C.packed_values_bytes(*sizes) + _C.packed_metadata_bytes(*sizes)
        itemsize = 1 if case.is_4_bit else case.dtype.itemsize
        values = m * _C.k_compressed(*parts, k) * itemsize
        canonical = values + m * _C.metadata_row_bytes(parts[0], k)
        assert packed <= 1.02 * canonical * (2 if case.as_8_bit else 1)


# -------------------------------------------------------------------------------- scales of groups


@pytest.mark.parametrize("group_size", [32, 64, 128])
@pytest.mark.parametrize("dtype", ["int8", "int4", "float8_e4m3fn", "float8_e5m2"])
def test_scales_of_groups_are_packed_and_come_back(
    library: Library, dtype: str, group_size: int
) -> None:
    rng = np.random.default_rng(7)
    for shape in ((1, 1), (17, 130), (40, 384), (3, 31), (0, 8), (4, 0)):
        w = reference.prune(rng.standard_normal(shape).astype(FLOAT16))
        expected = sg.quantize(w, dtype, group_size=group_size)
        dense = library.put(w)
        a = sg.quantize(dense, dtype, group_size=group_size, backend=library.backend)
        b = sg.Sparse24Tensor(
            *(library.put(expected.values), library.put(expected.metadata), shape),
            scale=library.put(expected.scale),
            group_size=group_size,
            backend=library.backend,
        )
        for found in (a, b):
            assert found._cuda == 0
            assert same_bits(library.get(found.scale), expected.scale)
            assert same_bits(library.get(found.values), expected.values)
            packed = packed_scales(expected.scale, 128 // group_size)
            assert library.get(found._group_scales).tobytes() == packed.tobytes()
            parts = (found._values, found._metadata, found._group_scales)
            assert found.nbytes == sum(part.nbytes for part in parts)


def test_scales_of_rows_stay_as_they_are(device: Library) -> None:
    w = reference.prune(np.random.default_rng(7).standard_normal((20, 70)).astype(np.float32))
    expected = sg.quantize(w, "int8")
    a = sg.quantize(device.put(w), "int8", backend=device.backend)
    assert a._cuda == 0
    assert same_bits(device.get(a.scale), expected.scale)
    assert same_bits(device.get(a.values), expected.values)


@pytest.mark.parametrize(
    ("pattern", "dtype", "match"),
    [
        ("2:4", np.dtype(np.float32), r"2:4 of float32.*\.half\(\), \.bfloat16\(\).*pattern='1:2'"),
        ("4:8", np.dtype(ml_dtypes.uint4), "4:8 of uint4.*convert it to int4 or int8"),
    ],
)
def test_what_has_no_kernel_says_what_to_do(
    device: Library, pattern: str, dtype: np.dtype[Any], match: str
) -> None:
    if dtype == ml_dtypes.uint4 and device.name != "numpy":
        pytest.skip(f"{device.name} has no dense arrays of 4-bit elements")
    w = np.zeros((4, 8), dtype)
    for call in (sg.prune, sg.check, sg.compress):
        with pytest.raises(sg.UnsupportedError, match=match):
            call(
                w if dtype == ml_dtypes.uint4 else device.put(w),
                pattern=pattern,
                backend=device.backend,
            )
