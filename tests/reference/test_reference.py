"""The reference implementation against PyTorch's converter, NumPy and brute force."""

from __future__ import annotations

import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_gemm import reference
from sparse_gemm.errors import SparsityError

torch = pytest.importorskip("torch")
converter = pytest.importorskip("torch.sparse._semi_structured_conversions")

TYPES = {
    name: np.dtype(getattr(ml_dtypes, name, None) or name)
    for name in (
        "float32",
        "float16",
        "bfloat16",
        "int8",
        "float8_e4m3fn",
        "float8_e5m2",
        "int4",
        "uint4",
    )
}
CASES = [
    (pattern, name) for pattern in reference.PATTERNS for name in reference.PATTERNS[pattern].dtypes
]


def bits(array: np.ndarray) -> np.ndarray:
    """The array's bytes, so that -0.0 differs from 0.0 and a nan equals itself."""
    array = np.ascontiguousarray(array)
    return array.view(np.uint8).reshape(*array.shape, array.dtype.itemsize)


def bits_but_for_nans(array: np.ndarray) -> np.ndarray:
    """bits, with one nan for all: PyTorch's CPU gather rewrites the nans of bfloat16."""
    array = array.copy()
    array[np.isnan(array.astype(np.float64))] = np.nan
    return bits(array)


def random_matrix(rng: np.random.Generator, m: int, k: int, name: str) -> np.ndarray:
    """Small integers with many zeros and ties, exact in every type."""
    low, high = (0, 8) if name == "uint4" else (-7, 8)
    w = rng.integers(low, high, (m, k)) * rng.integers(0, 2, (m, k))
    return w.astype(np.int8).astype(TYPES[name])


def sprinkle_specials(rng: np.random.Generator, w: np.ndarray) -> np.ndarray:
    specials = np.array([-0.0, np.inf, -np.inf, np.nan, -np.nan, 6e-8]).astype(w.dtype)
    at = rng.random(w.shape) < 0.3
    return np.where(at, rng.choice(specials, w.shape), w)


def to_torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array))


def from_torch(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def torch_offsets(words: torch.Tensor) -> torch.Tensor:
    rows, columns = words.shape
    return converter._calculate_meta_reordering_scatter_offsets(rows, columns, words.dtype, "cpu")


def as_torch_words(metadata: np.ndarray, dtype: np.dtype) -> torch.Tensor:
    """Canonical metadata as the words that PyTorch permutes, not yet permuted."""
    return torch.from_numpy(metadata.view(np.int32 if dtype == np.int8 else np.int16).copy())


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int8"])
def test_bit_equal_to_torch_both_ways(name: str) -> None:
    rng = np.random.default_rng(0)
    w = random_matrix(rng, 64, 512, name)
    if name != "int8":
        w = sprinkle_specials(rng, w)
    # prune keeps two places; every other group then loses one or both of them.
    w = reference.prune(w)
    w[rng.random(w.shape) < 0.3] = 0
    counts = (w.astype(np.float64) != 0).reshape(64, -1, 4).sum(axis=-1)
    assert {0, 1, 2} == set(counts.ravel().tolist())

    ours = reference.compress(w)
    values, reordered = converter.sparse_semi_structured_from_dense_cutlass(to_torch(w))
    as_bits = bits_but_for_nans if name == "bfloat16" else bits
    assert np.array_equal(as_bits(from_torch(values)), as_bits(ours.values))
    words = reordered.view(-1)[torch_offsets(reordered)].view(reordered.shape)
    assert torch.equal(words, as_torch_words(ours.metadata, w.dtype))

    ours_reordered = torch.empty_like(reordered).view(-1)
    ours_reordered[torch_offsets(reordered)] = as_torch_words(ours.metadata, w.dtype).view(-1)
    dense = converter.sparse_semi_structured_to_dense_cutlass(
        to_torch(ours.values), ours_reordered.view(reordered.shape)
    )
    assert np.array_equal(as_bits(from_torch(dense)), as_bits(reference.decompress(ours)))


def test_1_of_2_bit_equal_to_torch() -> None:
    # One way only: PyTorch's CPU decoder of float32 writes half-words and corrupts some values.
    rng = np.random.default_rng(1)
    w = reference.prune(random_matrix(rng, 64, 512, "float32"), "1:2")
    ours = reference.compress(w, "1:2")
    values, reordered = converter.sparse_semi_structured_from_dense_cutlass(torch.from_numpy(w))
    assert np.array_equal(bits(values.numpy()), bits(ours.values))
    words = reordered.view(-1)[torch_offsets(reordered)].view(reordered.shape)
    assert torch.equal(words, as_torch_words(ours.metadata, w.dtype))


@pytest.mark.parametrize(
    ("group", "nibble"),
    [
        ([0, 0, 0, 0], 0xE), ([1, 0, 0, 0], 0x8), ([0, 1, 0, 0], 0x9), ([0, 0, 1, 0], 0xE),
        ([0, 0, 0, 1], 0xE), ([1, 1, 0, 0], 0x4), ([1, 0, 1, 0], 0x8), ([1, 0, 0, 1], 0xC),
        ([0, 1, 1, 0], 0x9), ([0, 1, 0, 1], 0xD), ([0, 0, 1, 1], 0xE),
    ],
)  # fmt: skip
def test_rule_for_every_mask(group: list[int], nibble: int) -> None:
    c = reference.compress(np.array([group, group], np.float32))
    assert c.metadata.tolist() == [[0xE0 | nibble]] * 2
    assert c.values[0].tolist() == [group[nibble & 3], group[nibble >> 2]]
    pairs = reference.compress(np.repeat([group], 2, axis=1).astype(ml_dtypes.int4), "4:8")
    assert pairs.metadata.tolist() == [[0xE0 | nibble]]
    assert pairs.values.tolist() == [[0x11 * group[nibble & 3], 0x11 * group[nibble >> 2]]]


def test_rule_of_1_of_2() -> None:
    c = reference.compress(np.array([[5, 0, 0, 6, 0, 0]], np.float32), "1:2")
    assert c.metadata.tolist() == [[0xE4, 0xEE]]
    assert c.values.tolist() == [[5, 6, 0]]


@pytest.mark.parametrize(("pattern", "name"), CASES)
@settings(max_examples=25, deadline=None)
@given(m=st.integers(0, 5), k=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_round_trip(pattern: str, name: str, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = random_matrix(rng, m, k, name)
    if name.startswith(("float", "bfloat")):
        w = sprinkle_specials(rng, w)
    geometry = reference.PATTERNS[pattern]
    groups = math.ceil(k / geometry.group_size)

    c = reference.compress(w, pattern, policy="prune")
    # A byte holds a pair of 4-bit elements: in 4:8 a place, in 2:4 both that a group keeps.
    kept = 1 if (pattern, name) == ("2:4", "int4") else geometry.kept
    assert c.values.shape == (m, kept * groups)
    assert c.metadata.shape == (m, math.ceil(groups / 2))
    assert c.metadata.dtype == np.uint8
    assert (c.shape, c.pattern, c.dtype) == ((m, k), pattern, w.dtype)
    reference.check_metadata(c.metadata, pattern, c.shape)

    pruned = reference.prune(w, pattern)
    reference.check(pruned, pattern)
    dense = reference.decompress(c)
    assert dense.dtype == w.dtype
    # A -0.0 that is not stored comes back as +0.0; all else has the same bits.
    zero = dense.astype(np.float64) == 0
    assert np.array_equal(zero, pruned.astype(np.float64) == 0)
    assert np.array_equal(bits(dense[~zero]), bits(pruned[~zero]))


def brute_force_prune(w: np.ndarray, pattern: str) -> np.ndarray:
    """The rule of prune, one group and one place at a time."""
    group_size, kept = {"2:4": (4, 2), "1:2": (2, 1), "4:8": (8, 2)}[pattern]
    size = 2 if pattern == "4:8" else 1
    result = w.copy()
    for row in result:
        for first in range(0, len(row), group_size):
            group = row[first : first + group_size]
            places = [group[i : i + size] for i in range(0, len(group), size)]

            def rank(i: int, places: list[np.ndarray] = places) -> tuple[bool, float, int]:
                elements = [float(v) for v in places[i]]
                if any(math.isnan(v) for v in elements):
                    return (False, 0.0, i)
                magnitude = abs(elements[0]) if size == 1 else sum(v * v for v in elements)
                return (True, -magnitude, i)

            for i in sorted(range(len(places)), key=rank)[kept:]:
                places[i][:] = 0
    return result


@pytest.mark.parametrize(("pattern", "name"), CASES)
@pytest.mark.parametrize("k", [1, 7, 32, 45])
def test_prune_is_the_rule(pattern: str, name: str, k: int) -> None:
    rng = np.random.default_rng(k)
    w = random_matrix(rng, 40, k, name)
    if name.startswith(("float", "bfloat")):
        w = sprinkle_specials(rng, w)
    before = w.copy()
    assert np.array_equal(bits(reference.prune(w, pattern)), bits(brute_force_prune(w, pattern)))
    assert np.array_equal(bits(w), bits(before))


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([1, -1, 1, -1], [1, -1, 0, 0]),
        ([1, 2, 3, 4], [0, 0, 3, 4]),
        ([np.inf, 5, np.nan, np.nan], [0, 0, np.nan, np.nan]),
        ([5, np.inf, np.nan, -np.inf], [0, np.inf, np.nan, 0]),
    ],
)
def test_prune_examples(group: list[float], expected: list[float]) -> None:
    pruned = reference.prune(np.array([group], np.float32))
    assert np.array_equal(bits(pruned), bits(np.array([expected], np.float32)))


def test_prune_minus_128_is_larger_than_127() -> None:
    w = np.array([[127, -128, 126, -127]], np.int8)
    assert reference.prune(w).tolist() == [[127, -128, 0, 0]]


def test_stored_elements_keep_their_bits() -> None:
    signalling = np.array([0x7FA00001, 0x80000000, 0, 0x00000001], np.uint32).view(np.float32)
    c = reference.compress(signalling[None])  # nan, -0.0, +0.0, the least subnormal: x..x
    assert c.metadata.tolist() == [[0xEC]]
    assert c.values.view(np.uint32).tolist() == [[0x7FA00001, 0x00000001]]
    # x000 stores places 0 and 2: the -0.0 at place 2 is kept, the one at place 1 is not.
    c = reference.compress(np.array([[3.0, -0.0, -0.0, 0.0]], np.float32))
    assert c.values.view(np.uint32).tolist() == [[0x40400000, 0x80000000]]
    signs = np.signbit(reference.decompress(c)).tolist()
    assert signs == [[False, False, True, False]]


@pytest.mark.parametrize(
    ("pattern", "name", "fraction"),
    [
        ("2:4", "float16", 9 / 16), ("2:4", "bfloat16", 9 / 16), ("2:4", "int8", 5 / 8),
        ("2:4", "float8_e4m3fn", 5 / 8), ("2:4", "float8_e5m2", 5 / 8), ("2:4", "float32", 17 / 32),
        ("1:2", "float32", 9 / 16),
    ],
)  # fmt: skip
def test_bytes_are_exactly_the_fraction(pattern: str, name: str, fraction: float) -> None:
    w = np.zeros((16, 64), TYPES[name])
    c = reference.compress(w, pattern)
    assert c.values.nbytes + c.metadata.nbytes == fraction * w.nbytes


def test_bytes_of_4_bit_types() -> None:
    c = reference.compress(np.zeros((16, 64), ml_dtypes.int4), "4:8")
    assert c.values.nbytes + c.metadata.nbytes == 5 / 8 * (16 * 64 / 2)
    c = reference.compress(np.zeros((16, 64), ml_dtypes.int4), "2:4")
    assert c.values.nbytes + c.metadata.nbytes == 3 / 4 * (16 * 64 / 2)


@pytest.mark.parametrize(
    ("pattern", "name", "row", "group", "columns", "values"),
    [
        ("2:4", "float32", 3, 2, "8 to 11", (1.0, 2.0, 0.0, -4.0)),
        ("2:4", "float16", 1, 4, "16 to 18", (1.0, 2.0, 3.0)),
        ("1:2", "float32", 2, 9, "18 to 18", None),
        ("4:8", "int4", 0, 1, "8 to 15", (0.0, 1.0, 0.0, -2.0, 0.0, 0.0, 3.0, 0.0)),
    ],
)
def test_check_names_the_first_violation(
    pattern: str, name: str, row: int, group: int, columns: str, values: tuple[float, ...] | None
) -> None:
    w = np.zeros((5, 19), TYPES[name])
    first = group * reference.PATTERNS[pattern].group_size
    if values is None:  # one element alone cannot violate 1:2
        w[row, first] = 1
        reference.check(w, pattern)
        return
    w[row, first : first + len(values)] = values
    w[-1, :8] = 1  # a later violation that must not be the one named
    for refuse in (reference.check, reference.compress):
        with pytest.raises(SparsityError) as caught:
            refuse(w, pattern)
        error = caught.value
        assert (error.row, error.group, error.values) == (row, group, values)
        message = str(error)
        assert f"row {row}, group {group} (columns {columns})" in message
        assert ", ".join(str(v) for v in values) in message
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.row, again.group, again.values) == (message, row, group, values)


@pytest.mark.parametrize("pattern", list(reference.PATTERNS))
def test_check_metadata_accepts_exactly_the_meaningful_nibbles(pattern: str) -> None:
    expected = {"1:2": {0x4, 0xE}}.get(pattern, {0x4, 0x8, 0xC, 0x9, 0xD, 0xE})
    for nibble in range(16):
        metadata = np.full((3, 2), 0xE4, np.uint8)
        metadata[2, 1] = 0x04 | nibble << 4
        if nibble in expected:
            reference.check_metadata(metadata, pattern)
            continue
        with pytest.raises(ValueError, match=f"row 2, group 3 holds 0x{nibble:X}"):
            reference.check_metadata(metadata, pattern)


def test_check_metadata_does_not_look_at_the_spare_nibble() -> None:
    metadata = np.array([[0xE4, 0x04]], np.uint8)  # three groups; the fourth nibble is 0x0
    reference.check_metadata(metadata, "2:4", (1, 12))
    with pytest.raises(ValueError, match="row 0, group 3 holds 0x0"):
        reference.check_metadata(metadata, "2:4", (1, 16))
    with pytest.raises(ValueError, match=r"has shape \(1, 2\);.* metadata of shape \(1, 3\)"):
        reference.check_metadata(metadata, "2:4", (1, 24))


@pytest.mark.parametrize("bad", ["pattern", "dtype", "rank", "policy"])
def test_bad_arguments_are_named(bad: str) -> None:
    w: np.ndarray = np.zeros((4, 4), np.float64 if bad == "dtype" else np.float32)
    w = w[0] if bad == "rank" else w
    with pytest.raises(ValueError, match=bad if bad in ("pattern", "policy") else "w has"):
        reference.compress(
            w, "3:4" if bad == "pattern" else "2:4", "drop" if bad == "policy" else "raise"
        )
