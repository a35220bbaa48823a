# NumPy's stubs answer Any for most expressions over arrays of any dtype.
# mypy: disable-error-code="no-any-return"
"""The reference implementation of the compression format, in NumPy: slow, obvious, and the oracle.

Every other implementation in this package must agree with this file bit for bit in what it stores,
and up to rounding in what it multiplies. `docs/format.md` is the same thing in words.

Names: w is a dense matrix [M, K]; K is the logical length of a row. A row is cut into *groups* of
consecutive elements, a group into *places*: the units that are kept or pruned whole. A place is one
element, except in 4:8, where it is a pair of neighbouring 4-bit elements.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from sparse_gemm.errors import SparsityError
from sparse_gemm.reference.arithmetic import apply_epilogue, is_integer, round_to, scaled
from sparse_gemm.reference.bits import from_nibbles, pack_nibbles, unpack_nibbles

__all__ = ["PATTERNS", "Compressed", "check", "check_metadata", "compress", "decompress"]
__all__ += ["linear", "matmul", "prune"]

Array = NDArray[Any]


class Pattern(NamedTuple):
    """The geometry of one sparsity pattern."""

    group_size: int  # elements of K in a group
    places: int  # places in a group
    kept: int  # places of a group that are stored
    nibbles: tuple[int, ...]  # the metadata nibbles that mean something
    dtypes: tuple[str, ...]  # the element types that the pattern is defined for

    @property
    def place_size(self) -> int:
        """Elements in a place."""
        return self.group_size // self.places


_PAIRS_OF_PLACES = (0x4, 0x8, 0xC, 0x9, 0xD, 0xE)
_TYPES_OF_2_OF_4 = ("float32", "float16", "bfloat16", "int8", "float8_e4m3fn", "float8_e5m2")
_4_BIT_TYPES = ("int4", "uint4")  # two elements to a byte of values

PATTERNS = {
    "2:4": Pattern(
        4, places=4, kept=2, nibbles=_PAIRS_OF_PLACES, dtypes=(*_TYPES_OF_2_OF_4, "int4")
    ),
    "1:2": Pattern(2, places=2, kept=1, nibbles=(0x4, 0xE), dtypes=("float32",)),
    "4:8": Pattern(8, places=4, kept=2, nibbles=_PAIRS_OF_PLACES, dtypes=_4_BIT_TYPES),
}

# Which places of a group of four are stored, from which of them are non-zero (PyTorch's rule).
# Nibble = first place | second place << 2, first < second.
_NIBBLE_OF_FOUR_PLACES = {
    (0, 0, 0, 0): 0xE,
    (1, 0, 0, 0): 0x8,
    (0, 1, 0, 0): 0x9,
    (0, 0, 1, 0): 0xE,
    (0, 0, 0, 1): 0xE,
    (1, 1, 0, 0): 0x4,
    (1, 0, 1, 0): 0x8,
    (1, 0, 0, 1): 0xC,
    (0, 1, 1, 0): 0x9,
    (0, 1, 0, 1): 0xD,
    (0, 0, 1, 1): 0xE,
}

# In 1:2 a place is as wide as two of four: place 0 reads as (0, 1), place 1 as (2, 3).
_NIBBLE_OF_TWO_PLACES = {(0, 0): 0xE, (1, 0): 0x4, (0, 1): 0xE}

# What the spare high nibble of a row with an odd number of groups holds: an all-zero group's.
_SPARE_NIBBLE = 0xE


class Compressed(NamedTuple):
    """A compressed matrix in canonical storage.

    Attributes:
        values: [M, kept * groups], in the matrix's dtype; of 4-bit types uint8, two kept elements
            a byte, the earlier in the low nibble: for 4:8 [M, 2 * groups], for 2:4 [M, groups].
            Row-major.
        metadata: uint8 [M, ceil(groups / 2)], one nibble a group, the earlier group in the low
            nibble. Row-major.
        shape: (M, K), K the logical length of a row.
        pattern: "2:4", "1:2" or "4:8".
        dtype: the dense matrix's element type (values.dtype, or ml_dtypes' int4 or uint4).
        scale: None, or with a group_size a 16-bit float [M, ceil(K / group_size)].
        group_size: elements of K that share a factor in `linear`.
    """

    values: Array
    metadata: Array
    shape: tuple[int, int]
    pattern: str
    dtype: np.dtype[Any]
    scale: Array | None = None
    group_size: int | None = None


def _pattern_of(pattern: str) -> Pattern:
    if pattern not in PATTERNS:
        raise ValueError(f"pattern is {pattern!r}; expected one of {', '.join(PATTERNS)}")
    return PATTERNS[pattern]


def _num_groups(k: int, geometry: Pattern) -> int:
    return -(-k // geometry.group_size)


def _as_matrix(w: Array, pattern: str) -> tuple[Array, Pattern]:
    geometry = _pattern_of(pattern)
    w = np.asarray(w)
    if w.ndim != 2:
        raise ValueError(f"w has {w.ndim} dimensions, shape {w.shape}; expected a matrix [M, K]")
    if w.dtype.name not in geometry.dtypes:
        raise ValueError(
            f"w has dtype {w.dtype.name}; pattern {pattern} is defined for "
            f"{', '.join(geometry.dtypes)}"
        )
    return w, geometry


def _in_places(w: Array, geometry: Pattern) -> Array:
    """w [M, K] as [M, groups, places, place_size], the last group filled up with +0."""
    m, k = w.shape
    groups = _num_groups(k, geometry)
    padded = np.zeros((m, groups * geometry.group_size), w.dtype)
    padded[:, :k] = w
    return padded.reshape(m, groups, geometry.places, geometry.place_size)


def _non_zero_places(places: Array) -> Array:
    """bool [M, groups, places]. -0.0 is zero; nan is non-zero; a pair is if either element is."""
    with np.errstate(invalid="ignore"):  # signalling nans
        return (places.astype(np.float64) != 0).any(axis=-1)


# ---------------------------------------------------------------------------------- check, prune


def check(w: Array, pattern: str = "2:4") -> None:
    """Raises SparsityError at the first group of w [M, K] with too many non-zeros.

    First means row-major order: the lowest row, and in it the lowest group.
    """
    w, geometry = _as_matrix(w, pattern)
    counts = _non_zero_places(_in_places(w, geometry)).sum(axis=-1)
    violations = np.argwhere(counts > geometry.kept)
    if len(violations):
        row, group = (int(index) for index in violations[0])
        first = group * geometry.group_size
        values = w[row, first : first + geometry.group_size].astype(np.float64)
        raise SparsityError.for_group(pattern=pattern, row=row, group=group, values=values.tolist())


def prune(w: Array, pattern: str = "2:4") -> Array:
    """A copy of w [M, K] with the smallest places of every group set to +0; the rest unchanged.

    A place's magnitude is its element's absolute value (|-128| is 128), or in 4:8 the sum of the
    squares of its two elements. nan counts as the largest, above inf. Of equal magnitudes the lower
    index is kept.
    """
    w, geometry = _as_matrix(w, pattern)
    m, k = w.shape
    places = _in_places(w, geometry)

    with np.errstate(invalid="ignore"):  # signalling nans
        wide = places.astype(np.float64)
        # The sum of squares, or of absolute values where there is one: that cannot overflow.
        magnitude = (np.abs(wide) if geometry.place_size == 1 else wide**2).sum(axis=-1)
    is_nan = np.isnan(wide).any(axis=-1)
    magnitude[is_nan] = 0
    index = np.broadcast_to(np.arange(geometry.places), magnitude.shape)
    # lexsort sorts by its last key first: nans, then large magnitudes, then low indices.
    best_first = np.lexsort((index, -magnitude, ~is_nan), axis=-1)
    pruned = best_first[..., geometry.kept :]

    np.put_along_axis(places, pruned[..., None], np.zeros((), w.dtype), axis=2)
    return places.reshape(m, math.prod(places.shape[1:]))[:, :k].copy()


# --------------------------------------------------------------------------- compress, decompress


def compress(w: Array, pattern: str = "2:4", policy: str = "raise") -> Compressed:
    """The canonical storage of w [M, K].

    Args:
        w: the dense matrix.
        pattern: "2:4", "1:2" or "4:8".
        policy: what to do where a group has too many non-zeros: "raise" SparsityError, or "prune".

    Stored elements keep their bits: a -0.0 keeps its sign, a nan its payload.
    """
    if policy not in ("raise", "prune"):
        raise ValueError(f"policy is {policy!r}; expected 'raise' or 'prune'")
    w, geometry = _as_matrix(prune(w, pattern) if policy == "prune" else w, pattern)
    check(w, pattern)
    places = _in_places(w, geometry)
    nibbles = _choose_nibbles(_non_zero_places(places), geometry)
    stored = np.take_along_axis(places, _stored_places(nibbles, geometry)[..., None], axis=2)
    stored = stored.reshape(w.shape[0], math.prod(stored.shape[1:]))
    if w.dtype.name in _4_BIT_TYPES:
        stored = pack_nibbles(stored.astype(np.int8).view(np.uint8) & 0xF)
    spare = ((0, 0), (0, nibbles.shape[1] % 2))
    nibbles = np.pad(nibbles, spare, constant_values=_SPARE_NIBBLE)
    return Compressed(
        values=stored,
        metadata=pack_nibbles(nibbles),
        shape=(int(w.shape[0]), int(w.shape[1])),
        pattern=pattern,
        dtype=w.dtype,
    )


def decompress(c: Any) -> Array:
    """The dense matrix [M, K] of a compressed one; pruned places are +0.

    Args:
        c: anything with .values, .metadata, .shape, .pattern, and .dtype for the 4-bit types.
    """
    values, columns = _stored_elements(c)
    m, k = c.shape
    geometry = _pattern_of(c.pattern)
    dense = np.zeros((m, _num_groups(k, geometry) * geometry.group_size), values.dtype)
    np.put_along_axis(dense, columns, values, axis=1)
    return dense[:, :k].copy()


def check_metadata(
    metadata: Array, pattern: str = "2:4", shape: tuple[int, int] | None = None
) -> None:
    """Raises ValueError unless metadata is meaningful: every nibble names stored places.

    Args:
        metadata: uint8 [M, ceil(groups / 2)].
        pattern: "2:4" and "4:8" allow the nibbles 4, 8, C, 9, D, E; "1:2" allows 4 and E.
        shape: the dense matrix's (M, K). With it the metadata's own shape is checked too, and the
            spare high nibble of a row with an odd number of groups is not looked at.
    """
    geometry = _pattern_of(pattern)
    metadata = np.asarray(metadata)
    if metadata.dtype != np.uint8 or metadata.ndim != 2:
        raise ValueError(
            f"metadata is {metadata.dtype.name} of shape {metadata.shape}; "
            "expected a uint8 matrix [M, ceil(groups / 2)]"
        )
    nibbles = unpack_nibbles(metadata)
    if shape is not None:
        groups = _num_groups(shape[1], geometry)
        expected = (shape[0], -(-groups // 2))
        if metadata.shape != expected:
            raise ValueError(
                f"metadata has shape {metadata.shape}; "
                f"a {pattern} matrix of shape {tuple(shape)} has metadata of shape {expected}"
            )
        nibbles = nibbles[:, :groups]
    violations = np.argwhere(~np.isin(nibbles, geometry.nibbles))
    if len(violations):
        row, group = (int(index) for index in violations[0])
        allowed = ", ".join(f"0x{nibble:X}" for nibble in geometry.nibbles)
        raise ValueError(
            f"metadata is not valid for pattern {pattern}: row {row}, group {group} holds "
            f"0x{int(nibbles[row, group]):X}; expected one of {allowed}"
        )


def _choose_nibbles(non_zero: Array, geometry: Pattern) -> Array:
    """uint8 [M, groups]: which places are stored, from bool [M, groups, places]."""
    rule: dict[Any, int] = _NIBBLE_OF_TWO_PLACES if geometry.places == 2 else _NIBBLE_OF_FOUR_PLACES
    nibbles = np.zeros(non_zero.shape[:2], np.uint8)
    for mask, nibble in rule.items():
        nibbles[(non_zero == np.array(mask, bool)).all(axis=-1)] = nibble
    return nibbles


def _stored_places(nibbles: Array, geometry: Pattern) -> Array:
    """int64 [M, groups, kept]: the stored places of every group, in ascending order."""
    first = (nibbles & 0b11).astype(np.int64)
    second = (nibbles >> 2).astype(np.int64)
    if geometry.kept == 1:
        return (first // 2)[..., None]
    return np.stack([first, second], axis=-1)


def _stored_elements(c: Any) -> tuple[Array, Array]:
    """Values [M, n] in the dense dtype and their columns, int64 [M, n], both in stored order."""
    geometry = _pattern_of(c.pattern)
    m, k = c.shape
    groups = _num_groups(k, geometry)
    values, metadata = np.asarray(c.values), np.asarray(c.metadata)
    check_metadata(metadata, c.pattern, (m, k))
    is_4_bit = values.dtype == np.uint8
    expected = (m, geometry.kept * geometry.place_size * groups // (2 if is_4_bit else 1))
    if values.shape != expected:
        raise ValueError(
            f"values has shape {values.shape}; a {c.pattern} matrix of shape {(m, k)} "
            f"has values of shape {expected}"
        )
    if is_4_bit:
        values = from_nibbles(unpack_nibbles(values), np.dtype(c.dtype))
    places = _stored_places(unpack_nibbles(metadata)[:, :groups], geometry)
    first = np.arange(groups)[:, None] * geometry.group_size + places * geometry.place_size
    columns = first[..., None] + np.arange(geometry.place_size)
    return values, columns.reshape(m, math.prod(columns.shape[1:]))


# ------------------------------------------------------------------------------------- multiply


def linear(
    x: Array,
    a: Any,
    bias: ArrayLike | None = None,
    *,
    activation: str | None = None,
    x_scale: ArrayLike | None = None,
    w_scale: ArrayLike | None = None,
    residual: ArrayLike | None = None,
    gate: ArrayLike | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    out_dtype: DTypeLike | None = None,
) -> Array:
    """y = silu(gate) * act(alpha * x_scale * w_scale * (x @ A.T) + bias) + beta * residual.

    Args:
        x: [..., in], floating-point or integer.
        a: the compressed weight, of shape (out, in). If it has a group_size, its elements are
            multiplied by the scales of their groups beforehand: each product is rounded to x's
            dtype, and so is the scale before it.
        bias, w_scale: [out], or one number.
        x_scale: [...], one a token (with or without a last axis of 1), or one number.
        residual, gate: [..., out]. Each factor takes part only where it is given.
        activation: None, "relu", "gelu" (with erf), "gelu_tanh" or "silu".
        out_dtype: default x's dtype; for integer x int32 without a scale, float32 with one.

    Returns:
        [..., out]. Sums are exact (int64) for integers and float64 otherwise, and are rounded once,
        to out_dtype; integers round to nearest even and saturate, and nan becomes 0.

    Only stored values take part: at a pruned place even x = inf contributes nothing, while a stored
    zero times inf is nan, as on the hardware.
    """
    x = np.asarray(x)
    out_features, in_features = a.shape
    if x.ndim == 0 or x.shape[-1] != in_features:
        raise ValueError(
            f"x has shape {x.shape}; a of shape {a.shape} expects [..., {in_features}]"
        )
    if out_dtype is None:
        scaled = x_scale is not None or w_scale is not None
        out_dtype = (np.float32 if scaled else np.int32) if is_integer(x.dtype) else x.dtype
    accumulated = _multiply(x.reshape(math.prod(x.shape[:-1]), in_features), a)
    y = apply_epilogue(
        accumulated.reshape(*x.shape[:-1], out_features),
        *(bias, activation, x_scale, w_scale, residual, gate, alpha, beta),
    )
    return round_to(y, np.dtype(out_dtype))


def matmul(a: Any, b: Array, **epilogue: Any) -> Array:
    """D[M, N] = A[M, K] @ B[K, N], A compressed: linear on the transposes.

    Keyword arguments are linear's: bias and w_scale [M], x_scale [N], residual and gate [M, N].
    """
    b = np.asarray(b)
    if b.ndim != 2:
        raise ValueError(f"b has {b.ndim} dimensions, shape {b.shape}; expected a matrix [K, N]")
    for name in ("residual", "gate"):
        if epilogue.get(name) is not None:
            epilogue[name] = np.asarray(epilogue[name]).T
    return linear(b.T, a, **epilogue).T


def _multiply(x: Array, a: Any) -> Array:
    """x [tokens, in] @ A.T, over stored values alone: int64 for integers, else float64."""
    values, columns = _stored_elements(a)
    if getattr(a, "group_size", None) is not None:
        values = scaled(values, columns // a.group_size, np.asarray(a.scale), x.dtype)
    wide = np.int64 if is_integer(x.dtype) and is_integer(values.dtype) else np.float64
    # Stored places past K hold zeros; they meet zeros of x.
    geometry = _pattern_of(a.pattern)
    k = a.shape[1]
    past_k = _num_groups(k, geometry) * geometry.group_size - k
    x = np.pad(x.astype(wide), ((0, 0), (0, past_k)))
    y = np.zeros((len(x), len(values)), wide)
    with np.errstate(all="ignore"):
        for row in range(len(values)):
            y[:, row] = (x[:, columns[row]] * values[row].astype(wide)).sum(axis=-1)
    return y
