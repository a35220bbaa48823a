"""What the tests of the format share: its cases, calls into sparse_gemm._C by address, matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from sparse_gemm import _C, reference

Array = np.ndarray[Any, np.dtype[Any]]


class Case(NamedTuple):
    """One pattern and element type. `bits` is what the C++ code moves: a place, or two elements."""

    pattern: str
    dtype: Any
    bits: Any

    @property
    def name(self) -> str:
        return f"{self.pattern}-{np.dtype(self.dtype).name}"

    @property
    def group(self) -> int:
        return reference.PATTERNS[self.pattern].group_size

    @property
    def places(self) -> int:
        return reference.PATTERNS[self.pattern].places

    @property
    def kept(self) -> int:
        return reference.PATTERNS[self.pattern].kept

    @property
    def is_floating_point(self) -> bool:
        return "float" in self.name

    @property
    def is_4_bit(self) -> bool:
        return np.dtype(self.dtype).name in ("int4", "uint4")

    @property
    def places_in_a_cell(self) -> int:
        """Places that share one of `bits`: in 2:4 of a 4-bit type two."""
        return 2 if self.is_4_bit and self.pattern == "2:4" else 1

    @property
    def c_pattern(self) -> Any:
        return getattr(_C.Pattern, "k" + self.pattern.replace(":", "of"))

    @property
    def c_dtype(self) -> Any:
        return getattr(_C.DType, np.dtype(self.dtype).name)


CASES = [
    Case("2:4", np.float32, np.uint32),
    Case("2:4", np.float16, np.uint16),
    Case("2:4", ml_dtypes.bfloat16, np.uint16),
    Case("2:4", np.int8, np.uint8),
    Case("2:4", ml_dtypes.float8_e4m3fn, np.uint8),
    Case("2:4", ml_dtypes.float8_e5m2, np.uint8),
    Case("2:4", ml_dtypes.int4, np.uint8),
    Case("1:2", np.float32, np.uint32),
    Case("4:8", ml_dtypes.int4, np.uint8),
    Case("4:8", ml_dtypes.uint4, np.uint8),
]
CASE = {case.name: case for case in CASES}


# ------------------------------------------------------------------------ the code that is tested


def packed(case: Case, w: Array) -> Array:
    """w as the C++ code takes it: the bits of its elements, 4-bit ones two to a byte."""
    if not case.is_4_bit:
        return w.view(case.bits)
    even = np.zeros((w.shape[0], w.shape[1] + w.shape[1] % 2), w.dtype)
    even[:, : w.shape[1]] = w
    nibbles = even.astype(np.int8).view(np.uint8) & 0xF
    return nibbles[:, 0::2] | nibbles[:, 1::2] << 4


def cells_of(case: Case, places: Array) -> Array:
    """Places, one of `bits` each, as they lie in memory."""
    if case.places_in_a_cell == 1:
        return places
    return places[..., 0::2] | places[..., 1::2] << 4


def places_of(case: Case, cells: Array) -> Array:
    """The inverse."""
    if case.places_in_a_cell == 1:
        return cells
    return np.stack([cells & 0xF, cells >> 4], axis=-1).reshape(*cells.shape[:-1], -1)


def view_of(case: Case, bits: Array, k: int) -> tuple[Any, ...]:
    """The arguments that describe a dense matrix."""
    row_stride, col_stride = (stride // bits.itemsize for stride in bits.strides)
    return bits.ctypes.data, case.c_dtype, bits.shape[0], k, row_stride, col_stride


class Guarded:
    """An output array between canaries, which tell of writes outside it."""

    SIZE, CANARY = 64, 0xA5

    def __init__(self, shape: tuple[int, int], dtype: Any) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.buffer = np.full(size + 2 * self.SIZE, self.CANARY, np.uint8)
        self.array: Array = self.buffer[self.SIZE : self.SIZE + size].view(dtype).reshape(shape)

    def checked(self) -> Array:
        assert (self.buffer[: self.SIZE] == self.CANARY).all(), "wrote before the output"
        assert (self.buffer[-self.SIZE :] == self.CANARY).all(), "wrote past the output"
        return self.array


def check(case: Case, bits: Array, k: int, threads: int = 1) -> Any:
    return _C.check(*view_of(case, bits, k), case.c_pattern, threads)


def prune(case: Case, bits: Array, k: int, threads: int = 1) -> Array:
    out = Guarded(bits.shape, case.bits)
    address = out.array.ctypes.data
    _C.prune(*view_of(case, bits, k), case.c_pattern, address, threads)
    return out.checked()


def compress(
    case: Case, bits: Array, k: int, policy: str = "raise_", threads: int = 1
) -> tuple[Array, Array, Any]:
    """values, metadata, and the position of the violation or None."""
    rows = bits.shape[0]
    values = Guarded((rows, _C.k_compressed(case.c_pattern, case.c_dtype, k)), case.bits)
    metadata = Guarded((rows, _C.metadata_row_bytes(case.c_pattern, k)), np.uint8)
    violation = _C.compress(
        *view_of(case, bits, k),
        case.c_pattern,
        getattr(_C.Policy, policy),
        values.array.ctypes.data,
        metadata.array.ctypes.data,
        threads,
    )
    return values.checked(), metadata.checked(), violation


def decompress(case: Case, values: Array, metadata: Array, k: int, threads: int = 1) -> Array:
    rows = values.shape[0]
    out = Guarded((rows, -(-k // 2) if case.is_4_bit else k), case.bits)
    addresses = values.ctypes.data, metadata.ctypes.data
    address = out.array.ctypes.data
    _C.decompress(*addresses, case.c_dtype, case.c_pattern, rows, k, address, threads)
    return out.checked()


def check_metadata(case: Case, metadata: Array, k: int, threads: int = 1) -> Any:
    address = metadata.ctypes.data
    return _C.check_metadata(address, case.c_pattern, metadata.shape[0], k, threads)


# -------------------------------------------------------------------------------------- matrices


def random_bits(rng: np.random.Generator, case: Case, m: int, k: int) -> Array:
    """Any bit pattern; a third of the elements are zero, many of the others inf or nan."""
    zero = rng.random((m, k)) < 1 / 3
    if case.is_4_bit:
        low, high = (-8, 8) if case.dtype is ml_dtypes.int4 else (0, 16)
        return np.where(zero, 0, rng.integers(low, high, (m, k))).astype(case.dtype)
    bits = rng.integers(0, np.iinfo(case.bits).max, (m, k), case.bits, endpoint=True)
    if case.is_floating_point:
        exponent = np.array(np.inf if case.name[-3:] != "3fn" else np.nan, case.dtype)
        special = rng.random((m, k)) < 1 / 4
        bits = np.where(special, bits | exponent.view(case.bits), bits)
    minus_zero = 0 if case.dtype is np.int8 else 1 << (8 * bits.itemsize - 1)
    some_zero = rng.choice(np.array([0, minus_zero], case.bits), (m, k))
    return np.where(zero, some_zero, bits).view(case.dtype)


def random_sparse(rng: np.random.Generator, case: Case, m: int, k: int) -> Array:
    """As random_bits, with at most `kept` non-zero places a group; zeros are of both signs."""
    groups = -(-k // case.group)
    rank = rng.random((m, groups, case.places)).argsort(axis=-1)
    is_kept = (rank < case.kept).repeat(case.group // case.places, axis=-1)
    is_kept = is_kept.reshape(m, groups * case.group)[:, :k]
    w = random_bits(rng, case, m, k)
    return np.where(is_kept | (w.astype(np.float32) == 0), w, np.zeros((), w.dtype))
