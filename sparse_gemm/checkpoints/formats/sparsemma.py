"""sparsemma: int8 values [N, K/2], and the groups' nibbles in int32 words [N, K/32], row-major.

The words are canonical metadata, eight groups each. The package's files name no parts that could
be told from others'; these are the names that are written, and read, here.
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
from sparse_gemm.checkpoints.places import canonical_weight, nibbles_of, require_matrix
from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.weight import Weight

__all__ = ["SPARSEMMA", "decode_sparsemma"]

_SPELLING = Spelling(
    {"compressed": ".weight_compressed", "meta": ".weight_meta"}, {"scale": ".weight_scale"}
)


def _accepts(parts: dict[str, TensorInfo]) -> bool:
    return (parts["compressed"].code, parts["meta"].code) == ("I8", "I32")


def decode_sparsemma(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    """The weight [N, K]."""
    compressed, meta = parts["compressed"], parts["meta"]
    rows, columns = require_matrix("weight_compressed", compressed, ("int8",))
    if meta.dtype != np.int32 or columns % 16 or meta.shape != (rows, columns // 16):
        raise CheckpointError(
            f"weight_meta is {meta.dtype} {meta.shape}; expected int32 [{rows}, {columns / 16}]"
        )
    words = np.ascontiguousarray(meta).astype("<i4", copy=False).view(np.uint8)
    weight = canonical_weight(compressed, nibbles_of(words, columns // 2))
    return scaled(weight, parts.get("scale"), None, context)


def encode_sparsemma(weight: Weight) -> dict[str, Array]:
    """The inverse of `decode_sparsemma`."""
    if weight.dtype != "int8" or weight.pattern != "2:4" or weight.group_size is not None:
        raise CheckpointError(f"sparsemma holds int8 with a scale a row; this is {weight.dtype}")
    if weight.k % 32 or len(weight.shape) != 2:
        raise CheckpointError(f"sparsemma takes multiples of 32; K is {weight.k}")
    words = np.ascontiguousarray(weight.metadata).view("<i4").astype(np.int32, copy=False)
    parts = {"compressed": weight.values, "meta": words}
    scale = stored_scale(weight)
    return parts if scale is None else {**parts, "scale": scale}


SPARSEMMA = Format(
    "sparsemma", find_spelled(_SPELLING, accepts=_accepts), decode_sparsemma, encode_sparsemma,
    _SPELLING,
)  # fmt: skip
