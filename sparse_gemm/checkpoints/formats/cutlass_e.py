"""CUTLASS 3.x: tensor E of its sparse kernels for sm_90 and sm_100 (vLLM's and torchao's too).

Parts: qdata [M, K/2], and sparse_metadata, E's bytes. E holds a nibble for each group, at an offset
that is counted in elements of a matrix padded to blocks of AM rows and AK columns, one nibble for
every group's elements, low nibble first. In a block, 8-bit types (and 4-bit ones) stand row-major;
for wider types eight rows interleave as the tensor cores read them. AK is a choice of the writer's
kernel and stands nowhere in a file.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

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
from sparse_gemm.checkpoints.places import canonical_weight, nibbles_of, require_matrix
from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.weight import Weight

__all__ = ["CUTLASS_E_FORMATS", "Blocks", "decode_e", "encode_e"]

TILE_K_KEY = "sparse_gemm.tile_k"  # in the headers of the files that are written here
_DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3fn", "float8_e5m2")
_GROUP_ELEMENTS = {4: 8, 8: 4, 16: 4, 32: 2}  # bits of an element -> logical elements of a group
_QUAD_ROWS = 8
_STRIP_ROWS = 16


class Blocks(NamedTuple):
    """How E is cut: blocks of `rows` (AM) by `k` (AK) elements of a type of `bits`."""

    rows: int
    k: int
    bits: int

    @property
    def group(self) -> int:
        """Logical elements of a group."""
        return _GROUP_ELEMENTS[self.bits]

    def padded(self, rows: int, k: int) -> tuple[int, int]:
        """The extents of the padded matrix."""
        return -(-rows // self.rows) * self.rows, -(-k // self.k) * self.k

    def num_bytes(self, rows: int, k: int) -> int:
        """Bytes of E."""
        padded_rows, padded_k = self.padded(rows, k)
        return padded_rows * padded_k // self.group // 2

    def places(self, rows: int, k: int) -> tuple[Array, Array]:
        """int64 [rows], [groups]: what row and group add to the nibble's number."""
        padded_rows, padded_k = self.padded(rows, k)
        row = np.arange(padded_rows, dtype=np.int64)
        at = np.arange(0, padded_k, self.group, dtype=np.int64)
        block, inside = (at // self.k) * padded_rows * self.k, at % self.k
        if self.bits <= 8:
            row_part, k_part = row * self.k, block + inside
        else:
            step = 256 // self.bits  # a row's share of half a k-step of the instruction
            row_part = (
                (row // _STRIP_ROWS) * _STRIP_ROWS * self.k
                + (row % _QUAD_ROWS) * self.k
                + (row // _QUAD_ROWS % 2) * step
            )
            k_part = (
                block
                + inside % step
                + (inside // step % 2) * _QUAD_ROWS * self.k
                + (inside // (2 * step)) * 2 * step
            )
        return row_part // self.group, k_part // self.group


def decode_e(e: Array, rows: int, k: int, blocks: Blocks) -> Array:
    """E's bytes -> nibbles [rows, groups].

    Raises:
        CheckpointError: E has not the bytes that such a matrix takes.
    """
    expected = blocks.num_bytes(rows, k)
    if e.dtype != np.uint8 or e.size != expected:
        raise CheckpointError(
            f"E has {e.size} elements of {e.dtype}; expected {expected} bytes for [{rows}, {k}] in "
            f"blocks of {blocks.rows} by {blocks.k}"
        )
    flat = nibbles_of(e.reshape(1, -1), 2 * e.size).reshape(-1)
    row_part, k_part = blocks.places(rows, k)
    return np.asarray(flat[np.add.outer(row_part[:rows], k_part[: -(-k // blocks.group)])])


def encode_e(nibbles: Array, k: int, blocks: Blocks) -> Array:
    """The inverse: nibbles [rows, groups] -> E, [padded rows, bytes]; padding is 0xE."""
    rows, groups = nibbles.shape
    padded_rows, padded_k = blocks.padded(rows, k)
    full = np.full((padded_rows, padded_k // blocks.group), 0xE, np.uint8)
    full[:rows, :groups] = nibbles
    flat = np.empty(full.size, np.uint8)
    flat[np.add.outer(*blocks.places(rows, k))] = full
    return (flat[::2] | flat[1::2] << 4).reshape(padded_rows, -1)


def _tiles(context: Context, bits: int) -> tuple[int, ...]:
    """AK as it may be: as the caller or the header says, or else the widest first."""
    told = context.metadata.get(TILE_K_KEY, "") if context.tile_k is None else str(context.tile_k)
    if told not in ("", "64", "128"):
        raise CheckpointError(f"tile_k is {told:.40}; expected 64 or 128")
    tiles = (int(told),) if told else (128, 64)
    return tuple(tile // 2 for tile in tiles) if bits == 32 else tiles


def _candidates(parts: dict[str, Array], rows: int, k: int, context: Context) -> list[Blocks]:
    bits = 8 * parts["qdata"].dtype.itemsize
    blocks = [Blocks(am, tile, bits) for tile in _tiles(context, bits) for am in (64, 128)]
    return [b for b in blocks if b.num_bytes(rows, k) == parts["sparse_metadata"].size]


def decode_cutlass_e(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    """The weight: of the blocks that fit E's size, the widest whose nibbles fit the values."""
    values = parts["qdata"]
    rows, columns = require_matrix("qdata", values, _DTYPES)
    candidates = _candidates(parts, rows, 2 * columns, context)
    if not candidates:
        raise CheckpointError(
            f"sparse_metadata has {parts['sparse_metadata'].size} bytes, which go with no blocks "
            f"of a matrix [{rows}, {2 * columns}]"
        )
    for number, blocks in enumerate(candidates):
        nibbles = decode_e(parts["sparse_metadata"], rows, 2 * columns, blocks)
        try:
            pattern = "1:2" if values.dtype == np.float32 else "2:4"
            weight = canonical_weight(values, nibbles, pattern=pattern)
        except CheckpointError:
            if number + 1 == len(candidates):
                raise
            continue
        return scaled(weight, parts.get("scale"), None, context)
    raise AssertionError("there was a candidate")


def _encode(weight: Weight, rows: int, tile_k: int) -> dict[str, Array]:
    is_1_of_2 = weight.pattern == "1:2"
    if len(weight.shape) != 2 or weight.dtype not in _DTYPES or weight.group_size is not None:
        raise CheckpointError(f"CUTLASS has no E for a {weight.dtype} weight of this kind")
    if is_1_of_2 != (weight.dtype == "float32"):
        raise CheckpointError(f"CUTLASS has {weight.dtype} not as {weight.pattern}")
    bits = 8 * weight.values.dtype.itemsize
    blocks = Blocks(rows, tile_k // 2 if bits == 32 else tile_k, bits)
    groups = -(-weight.k // blocks.group)
    e = encode_e(nibbles_of(weight.metadata, groups), weight.k, blocks)
    parts = {"qdata": weight.values, "sparse_metadata": e}
    scale = stored_scale(weight)
    return parts if scale is None else {**parts, "scale": scale}


def _spelling(before: str) -> Spelling:
    names = {name: before + name for name in ("qdata", "sparse_metadata", "scale")}
    scale = {"scale": names.pop("scale")}
    return Spelling(names, scale)


def _accepts(parts: dict[str, TensorInfo]) -> bool:
    return parts["sparse_metadata"].code == "U8"


_SPELLINGS = [_spelling(before) for before in (".", "._weight_", ":")]
_FIND = find_spelled(*_SPELLINGS, accepts=_accepts)
_WRITERS = {"cutlass-sm90": (64, 128), "cutlass-sm90-k64": (64, 64), "cutlass-sm100": (128, 128)}
CUTLASS_E_FORMATS = [
    Format(
        name,
        _FIND,
        decode_cutlass_e,
        partial(_encode, rows=am, tile_k=ak),
        _SPELLINGS[0],
        {TILE_K_KEY: str(ak)},
    )
    for name, (am, ak) in _WRITERS.items()
]
