"""The C++ format room, called by address, against the NumPy reference and PyTorch's converter."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from format_cases import (
    CASE,
    CASES,
    Array,
    Case,
    cells_of,
    check,
    check_metadata,
    compress,
    decompress,
    packed,
    places_of,
    prune,
    random_bits,
    random_sparse,
    view_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_gemm import _C, reference


def each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


each_case = each(CASES)
on_every_isa = pytest.mark.usefixtures("isa")
# Those that have kernels of the format: avx512 has avx2's.


# More than one task of the thread pool in each direction, and ragged in every pattern.
LARGE = (37, 70_003)


def shapes() -> Iterator[tuple[int, int]]:
    yield from [(0, 0), (0, 8), (3, 0), (1, 1), (33, 64), (2, 127)]
    for k in range(1, 34):
        yield 3, k
    # SIMD kernels take blocks of 32 groups: 64, 128 or 256 elements.
    yield from [(3, k) for k in (63, 65, 128, 129, 140, 255, 256, 257, 391, 640)]


def without_zero_signs(case: Case, bits: Array) -> Array:
    """bits with -0.0 made +0: compression drops the sign of zeros that it does not store."""
    if not case.is_floating_point:
        return bits
    return np.where(bits == 1 << (8 * bits.itemsize - 1), 0, bits)


@on_every_isa
@each_case
def test_every_operation_is_bit_equal_to_the_reference(case: Case) -> None:
    rng = np.random.default_rng(1)
    for m, k in shapes():
        w = random_bits(rng, case, m, k)
        sparse = random_sparse(rng, case, m, k)
        bits, sparse_bits = packed(case, w), packed(case, sparse)

        expected = packed(case, reference.prune(w, case.pattern))
        np.testing.assert_array_equal(prune(case, bits, k), expected)

        for matrix, source, policy in [(w, bits, "prune"), (sparse, sparse_bits, "raise_")]:
            oracle = reference.compress(matrix, case.pattern, policy.rstrip("_"))
            values, metadata, violation = compress(case, source, k, policy)
            assert violation is None
            np.testing.assert_array_equal(values, oracle.values.view(case.bits))
            np.testing.assert_array_equal(metadata, oracle.metadata)
            dense = packed(case, reference.decompress(oracle))
            np.testing.assert_array_equal(decompress(case, values, metadata, k), dense)
            assert check_metadata(case, metadata, k) is None
        assert check(case, sparse_bits, k) is None


@on_every_isa
@each_case
def test_nibble_for_each_mask_of_non_zeros(case: Case) -> None:
    # docs/format.md's table, place 0 first; None: too many.
    four = {
        "0000": 0xE, "1000": 0x8, "0100": 0x9, "0010": 0xE, "0001": 0xE, "1100": 0x4,
        "1010": 0x8, "1001": 0xC, "0110": 0x9, "0101": 0xD, "0011": 0xE, "1110": None,
        "1101": None, "1011": None, "0111": None, "1111": None,
    }  # fmt: skip
    two = {"00": 0xE, "10": 0x4, "01": 0xE, "11": None}
    for mask, nibble in (two if case.places == 2 else four).items():
        group = np.array([[int(bit) * (i + 1) for i, bit in enumerate(mask)]], case.bits)
        cells = cells_of(case, group)
        values, metadata, violation = compress(case, cells, case.group)
        assert check(case, cells, case.group) == violation == (None if nibble else (0, 0))
        if nibble is not None:
            spare = 0xE
            assert metadata.tolist() == [[nibble | spare << 4]]
            stored = [nibble & 3, nibble >> 2] if case.kept == 2 else [(nibble & 3) // 2]
            assert places_of(case, values).tolist() == [group[0, stored].tolist()]


@on_every_isa
@each([case for case in CASES if case.is_floating_point])
def test_minus_zero_keeps_its_sign_where_stored_and_loses_it_where_pruned(case: Case) -> None:
    zero = np.zeros((1, case.group), case.dtype)
    minus = np.negative(zero).view(case.bits)
    assert (minus != 0).all()
    values, _, _ = compress(case, minus, case.group)
    np.testing.assert_array_equal(values, minus[:, : case.kept])

    # The zeros at the front are kept by prune; what a zero group stores is its end.
    pruned = prune(case, minus, case.group)
    assert (pruned[:, : case.kept] == minus[:, : case.kept]).all()
    assert (pruned[:, case.kept :] == 0).all()
    values, _, _ = compress(case, minus, case.group, "prune")
    np.testing.assert_array_equal(values, pruned[:, case.kept :][:, : case.kept])


@on_every_isa
def test_prune_orders_magnitudes_exactly() -> None:
    def kept(name: str, *group: float) -> list[int]:
        case = CASE[name]
        bits = packed(case, np.array([group], case.dtype))
        return np.flatnonzero(places_of(case, prune(case, bits, case.group)[0])).tolist()

    nan, inf = float("nan"), float("inf")
    for name in ("2:4-float32", "2:4-float16", "2:4-bfloat16", "2:4-float8_e5m2"):
        assert kept(name, inf, nan, 1, -inf) == [0, 1]
        assert kept(name, 1, inf, -nan, nan) == [2, 3]
        assert kept(name, nan, -nan, nan, inf) == [0, 1]
    assert kept("2:4-float8_e4m3fn", 448, -448, nan, 2) == [0, 2]
    assert kept("2:4-float32", 1e-45, -3e-45, 1e-45, 1e-45) == [0, 1]  # subnormal
    assert kept("2:4-float32", 1, -1.0000001, 1.0000002, 1) == [1, 2]
    assert kept("2:4-int8", 127, -127, -128, 1) == [0, 2]
    assert kept("2:4-int4", 7, -7, -8, 1) == [0, 2]
    assert kept("1:2-float32", 1, -1) == [0]
    assert kept("1:2-float32", 1, nan) == [1]
    # Pairs, by the sum of squares: 32 < 36 < 64.
    assert kept("4:8-int4", 4, 4, 0, 6, -8, 0, 1, 1) == [1, 2]
    assert kept("4:8-uint4", 15, 0, 10, 12, 11, 11, 1, 1) == [1, 2]  # 225 < 242 < 244
    assert kept("4:8-uint4", 15, 0, 9, 12, 10, 10, 1, 1) == [0, 1]  # 225 = 225 > 200
    for case in CASES:
        ties = cells_of(case, np.full((1, case.places), 1, case.bits))
        kept_places = places_of(case, prune(case, ties, case.group)[0])
        assert np.flatnonzero(kept_places).tolist() == list(range(case.kept))


@on_every_isa
@each_case
def test_strides_and_alignment_do_not_matter(case: Case) -> None:
    rng = np.random.default_rng(2)
    for m, k in [(5, 7), (40, 2051)]:
        bits = packed(case, random_bits(rng, case, m, k))
        n = bits.shape[1]
        wide = rng.integers(1, 100, (m, n + 9)).astype(case.bits)  # non-zero where not to be read
        wide[:, :n] = bits
        step = rng.integers(1, 100, (2 * m, 3 * n)).astype(case.bits)
        step[::2, ::3] = bits
        raw = np.zeros(bits.nbytes + 1, np.uint8)
        misaligned = raw[1:].view(case.bits).reshape(bits.shape)
        misaligned[:] = bits
        views = {
            "row stride": wide[:, :n],
            "both strides": step[::2, ::3],
            "transposed": np.ascontiguousarray(bits.T).T,
            "negative": np.ascontiguousarray(bits[::-1, ::-1])[::-1, ::-1],
            "misaligned": misaligned,
        }
        pruned = prune(case, bits, k)
        expected = compress(case, bits, k, "prune")
        violation = check(case, bits, k)
        assert violation is not None
        for name, view in views.items():
            np.testing.assert_array_equal(prune(case, view, k, 2), pruned, name)
            result = compress(case, view, k, "prune", 2)
            np.testing.assert_array_equal(result[0], expected[0], name)
            np.testing.assert_array_equal(result[1], expected[1], name)
            assert check(case, view, k) == violation, name
    same_row = np.broadcast_to(bits[:1], bits.shape)
    np.testing.assert_array_equal(prune(case, same_row, k), np.repeat(pruned[:1], m, axis=0))


@on_every_isa
@each([case for case in CASES if case.is_4_bit])
def test_the_nibble_past_an_odd_k_is_neither_read_nor_kept(case: Case) -> None:
    for k in (1, 7, 9, 17):
        clean = np.full((2, (k + 1) // 2), 0x01, np.uint8)
        dirty = clean.copy()
        dirty[:, -1] |= 0xF0
        np.testing.assert_array_equal(prune(case, dirty, k), prune(case, clean, k))
        values, metadata, _ = compress(case, dirty, k, "prune")
        expected_values, expected_metadata, _ = compress(case, clean, k, "prune")
        np.testing.assert_array_equal(values, expected_values)
        np.testing.assert_array_equal(metadata, expected_metadata)
        dense = decompress(case, values | 0xF0, metadata, k)
        assert (dense[:, -1] >> 4 == 0).all()


@on_every_isa
@each_case
def test_results_do_not_depend_on_the_number_of_threads(case: Case) -> None:
    m, k = LARGE
    rng = np.random.default_rng(3)
    bits = packed(case, random_bits(rng, case, m, k))
    for source in (bits, np.asfortranarray(bits)):
        pruned = prune(case, source, k)
        values, metadata, _ = compress(case, source, k, "prune")
        dense = decompress(case, values, metadata, k)
        np.testing.assert_array_equal(
            without_zero_signs(case, dense), without_zero_signs(case, pruned)
        )
        for threads in (2, 7):
            np.testing.assert_array_equal(prune(case, source, k, threads), pruned)
            again = compress(case, source, k, "prune", threads)
            np.testing.assert_array_equal(again[0], values)
            np.testing.assert_array_equal(again[1], metadata)
            np.testing.assert_array_equal(decompress(case, values, metadata, k, threads), dense)


@on_every_isa
@each_case
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_first_violation_is_the_one_reported(case: Case, threads: int) -> None:
    m, k = LARGE
    rng = np.random.default_rng(4)
    bits = np.zeros((m, -(-k // 2) if case.is_4_bit else k), case.bits)
    whole_groups = k // case.group
    one = cells_of(case, np.ones(case.places, case.bits))
    cells, kept = one.size, case.kept // case.places_in_a_cell
    places = sorted({(int(rng.integers(m)), int(rng.integers(whole_groups))) for _ in range(40)})
    for row, group in places:
        bits[row, group * cells : (group + 1) * cells] = one
    for row, group in places:
        assert check(case, bits, k, threads) == (row, group)
        assert compress(case, bits, k, "raise_", threads)[2] == (row, group)
        assert check(case, np.asfortranarray(bits), k, threads) == (row, group)
        bits[row, group * cells] = 0
        bits[row, group * cells + 1 : (group + 1) * cells - kept] = 0
    assert check(case, bits, k, threads) is None


@on_every_isa
@each([CASE["2:4-bfloat16"], CASE["1:2-float32"], CASE["4:8-int4"]])
def test_metadata_that_means_nothing_is_found(case: Case) -> None:
    valid = reference.PATTERNS[case.pattern].nibbles
    k, groups = 7 * case.group, 7
    for group in range(groups):
        for nibble in range(16):
            metadata = np.full((300, 4), 0xEE, np.uint8)
            metadata[:, 3] = 0x0E  # the spare nibble is not looked at
            shift = 4 * (group % 2)
            for row in (123, 200):
                metadata[row, group // 2] &= 0xFF ^ 0xF << shift
                metadata[row, group // 2] |= nibble << shift
            expected = None if nibble in valid else (123, group)
            assert check_metadata(case, metadata, k, 2) == expected
    k = 400_001 * 2 * case.group
    for column in (7, 399_999):
        for byte, position in [(0xE0, (1, 2 * column)), (0x0E, (1, 2 * column + 1))]:
            long = np.full((2, 400_001), 0xEE, np.uint8)
            long[1, column] = byte
            assert check_metadata(case, long, k, 3) == position
            assert check_metadata(case, long[:, :16].copy(), 32 * case.group) == (
                position if column < 16 else None
            )


@on_every_isa
@each([CASE[f"2:4-{name}"] for name in ("float16", "bfloat16", "int8")] + [CASE["1:2-float32"]])
def test_bit_equal_to_pytorchs_converter(case: Case) -> None:
    torch = pytest.importorskip("torch")
    converter = pytest.importorskip("torch.sparse._semi_structured_conversions")

    m, k = 64, 256
    w = random_sparse(np.random.default_rng(5), case, m, k)
    with np.errstate(invalid="ignore"):
        w[w != w] = 1  # PyTorch's gather rewrites the payload of a nan; we keep it
    bits = packed(case, w)
    signed = {1: np.int8, 2: np.int16, 4: np.int32}[bits.itemsize]

    def to_torch(array: Array) -> object:
        return torch.from_numpy(array.view(signed)).view(getattr(torch, np.dtype(case.dtype).name))

    def bits_of(tensor: object) -> Array:
        as_integers = tensor.view(torch.from_numpy(np.zeros(0, signed)).dtype)  # type: ignore
        return as_integers.numpy().view(case.bits)

    torch_values, torch_meta = converter.sparse_semi_structured_from_dense_cutlass(to_torch(bits))
    values, metadata, _ = compress(case, bits, k)
    np.testing.assert_array_equal(values, bits_of(torch_values))

    # CUTLASS's order of metadata words: word (r, c) of the row-major matrix lies at `position`.
    words = metadata.view(torch_meta.numpy().dtype)
    r, c = np.indices(words.shape)
    if words.itemsize == 4:
        position = c // 2 * 2 * m + r // 16 * 32 + r % 8 * 4 + c % 2 * 2 + r % 16 // 8
    else:
        position = (
            c // 2 * 2 * m + r // 32 * 64 + r % 8 * 8 + r % 32 // 16 * 4 + c % 2 * 2 + r % 16 // 8
        )
    np.testing.assert_array_equal(words, torch_meta.numpy().reshape(-1)[position])

    if case.pattern == "2:4":  # of 1:2, PyTorch's own decoder corrupts some values
        ordered = np.empty(words.size, words.dtype)
        ordered[position] = words
        dense = converter.sparse_semi_structured_to_dense_cutlass(
            to_torch(values), torch.from_numpy(ordered.reshape(words.shape))
        )
        ours = decompress(case, values, metadata, k)
        np.testing.assert_array_equal(ours, bits_of(dense))
        np.testing.assert_array_equal(
            without_zero_signs(case, ours), without_zero_signs(case, bits)
        )


@on_every_isa
@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    case=st.sampled_from(CASES),
    m=st.integers(0, 20),
    k=st.integers(0, 600),
    seed=st.integers(0, 2**32 - 1),
    threads=st.sampled_from([1, 2, 5]),
    transposed=st.booleans(),
)
def test_round_trip(case: Case, m: int, k: int, seed: int, threads: int, transposed: bool) -> None:
    rng = np.random.default_rng(seed)
    bits = packed(case, random_bits(rng, case, m, k))
    source = np.asfortranarray(bits) if transposed else bits
    values, metadata, violation = compress(case, source, k, "prune", threads)
    assert violation is None
    assert check_metadata(case, metadata, k, threads) is None
    pruned = prune(case, source, k, threads)
    assert check(case, pruned, k, threads) is None
    dense = decompress(case, values, metadata, k, threads)
    np.testing.assert_array_equal(without_zero_signs(case, dense), without_zero_signs(case, pruned))

    # One pass is the same as two, and compressing what was decompressed changes nothing.
    for again in (compress(case, pruned, k), compress(case, dense, k)):
        assert again[2] is None
        np.testing.assert_array_equal(again[1], metadata)
    np.testing.assert_array_equal(compress(case, pruned, k)[0], values)


def test_more_than_2_31_elements() -> None:
    # Untouched zero pages: 2 GiB of addresses, next to no memory.
    case = CASE["2:4-int8"]
    rows, k = 2**17 + 1, 2**14
    bits = np.zeros((rows, k), np.uint8)
    assert check(case, bits, k, 2) is None
    bits[-1, -4:] = 1
    assert check(case, bits, k, 2) == (rows - 1, k // 4 - 1)
    last = bits[-1:]
    assert last.ctypes.data - bits.ctypes.data >= 2**31
    np.testing.assert_array_equal(prune(case, bits[:: rows - 1], k)[1, -4:], [1, 1, 0, 0])


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="needs Linux's huge pages"
)
def test_large_outputs_are_on_huge_pages() -> None:
    case, rows, k = CASE["2:4-bfloat16"], 2048, 4096  # 16 MiB
    bits = np.zeros((rows, k), np.uint16)
    fresh = mmap.mmap(-1, bits.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = np.frombuffer(fresh, np.uint8).ctypes.data
    flags = []
    _C.prune(*view_of(case, bits, k), case.c_pattern, address, 1)
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if begins := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            begin, end = (int(text, 16) for text in begins.groups())
        if line.startswith("VmFlags") and begin <= address + bits.nbytes // 2 < end:
            flags = line.split()
    assert "hg" in flags


def test_what_cannot_be_compressed_is_refused() -> None:
    for pattern in ("k2of4", "k1of2", "k4of8"):
        for dtype in _C.DType.__members__.values():
            supported = any(
                (case.c_pattern, case.c_dtype) == (getattr(_C.Pattern, pattern), dtype)
                for case in CASES
            )
            assert _C.supports(getattr(_C.Pattern, pattern), dtype) == supported
    with pytest.raises(ValueError, match="pattern 2:4 is not defined for dtype int32"):
        _C.check(0, _C.DType.int32, 1, 4, 4, 1, _C.Pattern.k2of4, 1)
    with pytest.raises(ValueError, match="rows and k are -1 and 4"):
        _C.check(0, _C.DType.int8, -1, 4, 4, 1, _C.Pattern.k2of4, 1)


@each_case
def test_geometry_is_the_references(case: Case) -> None:
    for k in range(40):
        oracle = reference.compress(np.zeros((1, k), case.dtype), case.pattern)
        assert _C.k_compressed(case.c_pattern, case.c_dtype, k) == oracle.values.shape[1]
        assert _C.metadata_row_bytes(case.c_pattern, k) == oracle.metadata.shape[1]
