"""marlin-24: 2:4 weights of 4 or 8 bits in the order of the Marlin kernels, in two spellings.

With N rows (out_features) and K columns, parts are
    packed  int32 [K/32, N * bits / 2]   the stored values, K first, offset to be unsigned
    meta    int16 [K/32, 2N]             the groups' nibbles, four in a word
    scales  float16 [G, N]               one a column for each of G = K/128 groups, or G = 1
A tile of 16 stored values by 64 columns is 1024 fields, permuted; a word holds 32 / bits of them.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.base import Context, Entry, Format, Spelling, find_spelled
from sparse_gemm.checkpoints.places import canonical_weight, nibbles_of
from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.weight import Weight

__all__ = ["GPTQ_MARLIN_24", "MARLIN_24", "decode_marlin24", "encode_marlin24"]

_TILE = 16  # stored values, and columns, of a Marlin tile
_FIELDS = 1024  # that are permuted together
_BLOCK_ROWS = 64  # rows whose metadata words are permuted together
_GROUP_SIZE = 128
_EXTENT = 128  # N and K are multiples of it
_SCALES_PERMUTED = 64  # columns whose scales are permuted together
# The one size for which compressed-tensors stores scales of two groups in plain order.
_PLAIN_SCALES_K = 256

_COMPRESSED_TENSORS = Spelling(
    {"packed": ".weight_packed", "meta": ".meta", "scales": ".scale_packed"}
)
_GPTQ = Spelling(
    {"packed": ".B_24", "meta": ".B_meta", "scales": ".s"}, {"workspace": ".workspace"}
)


@cache
def _permutation(bits: int) -> Array:
    """Which field of 16 x 64, column by column of 16 x 16 tiles, stands at each place."""
    lanes = np.arange(32)[:, None]
    rows = 2 * (lanes % 4) + np.array([0, 1, 8, 9])
    column = lanes // 4
    base = 16 * rows + (column // 2) * 256 + (column % 2) * 8
    lane_fields = np.concatenate([base, base + 4], axis=1)
    fields = (lane_fields[:, None, :] + np.arange(4)[:, None]).reshape(-1)
    order = [0, 2, 4, 6, 1, 3, 5, 7] if bits == 4 else [0, 2, 1, 3]
    return np.asarray(fields.reshape(-1, len(order))[:, order].reshape(-1))


def _meta_places(rows: int, words: int) -> tuple[Array, Array]:
    """What row and word of a row add to a metadata word's place."""
    row, word = np.arange(rows), np.arange(words)
    row_part = (
        row // _BLOCK_ROWS * 128
        + row % 4 // 2 * 64
        + row % 64 // 8 * 8
        + row % 2 * 4
        + row % 8 // 4
    )
    return row_part, word // 2 * 2 * rows + word % 2 * 2


def _scale_order() -> Array:
    """In 64 columns of grouped scales: which column stands at each place."""
    return np.add.outer(8 * np.arange(8), [0, 4, 1, 5, 2, 6, 3, 7]).reshape(-1)


def _extents(parts: dict[str, Array]) -> tuple[int, int, int]:
    """N, K and bits.

    Raises:
        CheckpointError: the parts' shapes do not go together.
    """
    packed, meta, scales = parts["packed"], parts["meta"], parts["scales"]
    found = {name: f"{part.dtype} {part.shape}" for name, part in parts.items()}
    message = f"the parts do not go together: {found}"
    types = (packed.dtype.name, meta.dtype.name)
    if types != ("int32", "int16") or scales.dtype.name not in ("float16", "bfloat16"):
        raise CheckpointError(message)
    if {packed.ndim, meta.ndim, scales.ndim} != {2} or 0 in packed.shape:
        raise CheckpointError(message)
    n, k = int(scales.shape[1]), 32 * int(packed.shape[0])
    bits = 2 * packed.shape[1] // n if n else 0
    if bits not in (4, 8) or packed.shape[1] * 2 != n * bits or n % _EXTENT or k % _EXTENT:
        raise CheckpointError(message)
    if meta.shape != (k // 32, 2 * n) or scales.shape[0] not in (1, k // _GROUP_SIZE):
        raise CheckpointError(message)
    return n, k, bits


def _values(packed: Array, n: int, bits: int) -> Array:
    """int8 [N, K/2]."""
    fields_a_word = 32 // bits
    words = packed.view(np.uint32)
    fields = np.empty((words.shape[0], words.shape[1] * fields_a_word), np.uint8)
    for i in range(fields_a_word):
        fields[:, i::fields_a_word] = words >> np.uint32(bits * i) & np.uint32((1 << bits) - 1)
    inverse = np.argsort(_permutation(bits))
    tiles = fields.reshape(-1, _FIELDS)[:, inverse]
    tiles = tiles.reshape(words.shape[0], n // _TILE, _TILE, _TILE)
    stored = tiles.transpose(1, 3, 0, 2).reshape(n, -1)  # column-first: N, then K/2
    return np.asarray((stored.astype(np.int16) - (1 << (bits - 1))).astype(np.int8))


def decode_marlin24(parts: dict[str, Array], entry: Entry, context: Context) -> Weight:
    """The weight [N, K], int4 or int8, with its scale: nothing is rounded."""
    n, k, bits = _extents(parts)
    flat = np.ascontiguousarray(parts["meta"]).reshape(-1)
    words = flat[np.add.outer(*_meta_places(n, k // 16))]
    nibbles = nibbles_of(np.ascontiguousarray(words).view(np.uint8), k // 4)
    weight = canonical_weight(_values(np.ascontiguousarray(parts["packed"]), n, bits), nibbles)
    weight = weight.narrowed() if bits == 4 else weight
    scales = parts["scales"]
    is_plain = "workspace" not in parts and entry.parts["packed"].endswith(".weight_packed")
    group_size = None if scales.shape[0] == 1 else _GROUP_SIZE
    if group_size is not None and not (is_plain and k == _PLAIN_SCALES_K):
        inverse = np.argsort(_scale_order())
        scales = scales.reshape(-1, _SCALES_PERMUTED)[:, inverse].reshape(scales.shape)
    scale = np.ascontiguousarray(scales.T)
    if group_size is None:
        scale = scale.reshape(-1).astype(np.float32)
    return Weight(
        weight.values, weight.metadata, weight.shape, "2:4", weight.dtype,
        scales.dtype.name, scale, group_size,
    )  # fmt: skip


def _scales(weight: Weight, is_gptq: bool) -> Array:
    """float16 [G, N]."""
    if weight.scale is None:
        raise CheckpointError("marlin-24 needs a scale for each row or for 128 elements of K")
    if weight.group_size is None:
        exact = np.broadcast_to(weight.scale, (weight.rows,))
        rounded = exact.astype(np.float16)
        if not np.array_equal(rounded.astype(np.float32), exact):
            raise CheckpointError("marlin-24 keeps scales in float16, in which these do not fit")
        return np.asarray(rounded[None])
    if weight.group_size != _GROUP_SIZE or weight.scale.dtype != np.float16:
        raise CheckpointError("marlin-24 has float16 scales for groups of 128 elements alone")
    scales = np.ascontiguousarray(weight.scale.T)
    if len(scales) > 1 and (is_gptq or weight.k != _PLAIN_SCALES_K):
        order = _scale_order()
        scales = scales.reshape(-1, _SCALES_PERMUTED)[:, order].reshape(scales.shape)
    return scales


def encode_marlin24(weight: Weight, *, is_gptq: bool) -> dict[str, Array]:
    """The inverse of `decode_marlin24`."""
    bits = {"int4": 4, "int8": 8}.get(weight.dtype)
    if bits is None or weight.pattern != "2:4" or len(weight.shape) != 2:
        raise CheckpointError(
            f"marlin-24 holds int4 and int8 weights; this one is {weight.dtype} "
            "(sparse_gemm.quantize makes it int4 or int8)"
        )
    n, k = weight.rows, weight.k
    if n % _EXTENT or k % _EXTENT:
        raise CheckpointError(f"marlin-24 takes multiples of 128; the weight is [{n}, {k}]")
    scales = _scales(weight, is_gptq)
    stored = (weight.widened().values.astype(np.int16) + (1 << (bits - 1))).astype(np.uint32)
    tiles = stored.reshape(n // _TILE, _TILE, k // 32, _TILE).transpose(2, 0, 3, 1)
    fields = tiles.reshape(-1, _FIELDS)[:, _permutation(bits)].reshape(k // 32, -1)
    packed = np.zeros((k // 32, fields.shape[1] * bits // 32), np.uint32)
    for i in range(32 // bits):
        packed |= fields[:, i :: 32 // bits] << np.uint32(bits * i)
    words = np.ascontiguousarray(weight.metadata).view("<i2")
    meta = np.empty(words.size, np.int16)
    meta[np.add.outer(*_meta_places(n, k // 16))] = words
    return {
        "packed": packed.view(np.int32),
        "meta": meta.reshape(k // 32, 2 * n),
        "scales": scales,
    }


def _accepts(parts: dict[str, TensorInfo]) -> bool:
    return (parts["packed"].code, parts["meta"].code) == ("I32", "I16")


MARLIN_24, GPTQ_MARLIN_24 = (
    Format(
        name,
        find_spelled(spelling, accepts=_accepts),
        decode_marlin24,
        partial(encode_marlin24, is_gptq=spelling is _GPTQ),
        spelling,
    )
    for name, spelling in (("marlin-24", _COMPRESSED_TENSORS), ("gptq-marlin-24", _GPTQ))
)
