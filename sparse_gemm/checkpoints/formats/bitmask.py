"""sparse-24-bitmask and sparse-bitmask of compressed-tensors, with or without a scale.

Parts: shape; bitmask, uint8 [N, ceil(K/8)], bit c % 8 (the lowest first) of byte c // 8 set where
column c is stored; compressed, the stored elements: [N, K/2] where two of every four are, or else
1-D, row after row, with row_offsets.
"""

from __future__ import annotations

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.base import (
    Context,
    Decoded,
    Entry,
    Format,
    Spelling,
    find_spelled,
)
from sparse_gemm.checkpoints.formats.scales import scaled, stored_scale
from sparse_gemm.checkpoints.places import canonical_weight, nibbles_of
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.checkpoints.weight import Weight, from_dense, row_blocks

__all__ = ["SPARSE_24_BITMASK", "SPARSE_BITMASK"]

_DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3fn", "float8_e5m2")
_SCALES = {"scale": ".weight_scale", "zero_point": ".weight_zero_point"}
_OF_2_OF_4 = Spelling(
    {"bitmask": ".bitmask", "compressed": ".compressed", "shape": ".shape"}, _SCALES
)
_OF_ANY = Spelling({**_OF_2_OF_4.required, "row_offsets": ".row_offsets"}, _SCALES)

# Bits of a group (bit i: place i is stored) -> nibble; 0 where not exactly two are.
_NIBBLES = np.zeros(16, np.uint8)
for _first in range(4):
    for _second in range(_first + 1, 4):
        _NIBBLES[1 << _first | 1 << _second] = _first | _second << 2


def _extents(parts: dict[str, Array]) -> tuple[int, int]:
    """N and K: what `shape` says, and the bitmask must confirm."""
    shape, bitmask = parts["shape"], parts["bitmask"]
    if shape.dtype.kind not in "iu" or shape.size != 2:
        raise CheckpointError(f"shape is {shape.dtype} {shape.shape}; expected two integers")
    rows, k = (int(extent) for extent in shape.reshape(-1))
    if rows < 1 or k < 1 or bitmask.dtype != np.uint8 or bitmask.shape != (rows, -(-k // 8)):
        raise CheckpointError(
            f"bitmask is {bitmask.dtype} {bitmask.shape}, which does not go with a matrix "
            f"[{rows}, {k}]"
        )
    if parts["compressed"].dtype.name not in _DTYPES:
        raise CheckpointError(f"compressed has dtype {parts['compressed'].dtype}")
    return rows, k


def decode_24_bitmask(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    """The weight [N, K]."""
    rows, k = _extents(parts)
    compressed, bitmask = parts["compressed"], parts["bitmask"]
    if k % 4 or compressed.shape != (rows, k // 2):
        raise CheckpointError(
            f"compressed has shape {compressed.shape}, which does not go with a 2:4 matrix "
            f"[{rows}, {k}]"
        )
    nibbles = _NIBBLES[nibbles_of(bitmask, k // 4)]
    if not nibbles.all():
        row, group = (int(index) for index in np.argwhere(nibbles == 0)[0])
        raise CheckpointError(f"row {row}, group {group}: the bitmask does not store two places")
    weight = canonical_weight(compressed, nibbles)
    return scaled(weight, parts.get("scale"), parts.get("zero_point"), context)


def decode_bitmask(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    """The weight [N, K], or the dense array if it is not 2:4."""
    rows, k = _extents(parts)
    compressed, bitmask, offsets = parts["compressed"], parts["bitmask"], parts["row_offsets"]
    counts = np.zeros(rows, np.int64)
    for block in row_blocks(rows, k):
        spare = np.unpackbits(bitmask[block, -1:], axis=1, bitorder="little")[:, (k - 1) % 8 + 1 :]
        if spare.any():
            raise CheckpointError("the bitmask has bits beyond the last column")
        bits = np.unpackbits(bitmask[block], axis=1, count=k, bitorder="little")
        counts[block] = bits.sum(axis=1, dtype=np.int64)
    starts = np.cumsum(counts) - counts
    if compressed.shape != (int(counts.sum()),) or offsets.dtype.kind not in "iu":
        raise CheckpointError(
            f"compressed has shape {compressed.shape}; the bitmask stores {counts.sum()} elements"
        )
    if not np.array_equal(offsets.reshape(-1), starts):
        raise CheckpointError("row_offsets are not where the bitmask's rows begin")
    dense = np.zeros((rows, k), compressed.dtype)
    for block in row_blocks(rows, k):
        bits = np.unpackbits(bitmask[block], axis=1, count=k, bitorder="little").astype(bool)
        begin = int(starts[block.start])
        dense[block][bits] = compressed[begin : begin + int(counts[block].sum())]
    found = from_dense(dense)
    weight = dense if found is None else found
    return scaled(weight, parts.get("scale"), parts.get("zero_point"), context)


def _described(weight: Weight) -> dict[str, Array]:
    if len(weight.shape) != 2 or weight.pattern != "2:4" or weight.dtype not in _DTYPES:
        raise CheckpointError(f"a bitmask form of {weight.pattern} {weight.dtype} does not exist")
    parts = {"shape": np.array(weight.shape, np.int64).reshape(-1, 1)}
    scale = stored_scale(weight)
    return parts if scale is None else {**parts, "scale": scale}


def encode_24_bitmask(weight: Weight) -> dict[str, Array]:
    """The inverse of `decode_24_bitmask`."""
    parts = _described(weight)
    if weight.k % 4:
        raise CheckpointError(f"K is {weight.k}; sparse-24-bitmask takes multiples of 4")
    nibbles = nibbles_of(weight.metadata, weight.k // 4)
    bits = np.uint8(1) << (nibbles & 3) | np.uint8(1) << (nibbles >> 2)
    if bits.shape[1] % 2:
        bits = np.pad(bits, ((0, 0), (0, 1)))
    return {**parts, "compressed": weight.values, "bitmask": bits[:, ::2] | bits[:, 1::2] << 4}


def encode_bitmask(weight: Weight) -> dict[str, Array]:
    """The inverse of `decode_bitmask`."""
    parts = {**_described(weight), "shape": np.array(weight.shape, np.int64)}
    dense = weight.elements()
    stored = dense.astype(np.float32) != 0
    counts = stored.sum(axis=1, dtype=np.int64)
    return {
        **parts,
        "compressed": dense[stored],
        "bitmask": np.packbits(stored, axis=1, bitorder="little"),
        "row_offsets": np.cumsum(counts) - counts,
    }


SPARSE_24_BITMASK = Format(
    "sparse-24-bitmask", find_spelled(_OF_2_OF_4), decode_24_bitmask, encode_24_bitmask, _OF_2_OF_4
)
SPARSE_BITMASK = Format(
    "sparse-bitmask", find_spelled(_OF_ANY), decode_bitmask, encode_bitmask, _OF_ANY
)
