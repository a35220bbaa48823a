"""Dense weights with a mask beside them: ASP (apex), ModelOpt, MaskLLM.

The mask decides; the weight may hold anything where it is zero. A weight that is 2:4 only with its
mask, or a convolution, which is not a matrix, comes out dense with the zeros in place.
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
from sparse_gemm.checkpoints.places import nibbles_of
from sparse_gemm.checkpoints.tensors import Array
from sparse_gemm.checkpoints.weight import Weight, from_dense

__all__ = ["MASKS"]

_ASP = Spelling(
    {"mask": ".__weight_mma_mask", "weight": ".weight"}, {"pruned": ".__weight_mma_pruned_p"}
)
_MODELOPT = Spelling({"mask": "._weight_mask", "weight": ".weight"})
_MASKLLM = Spelling(
    {"gate": ".diff_mask.gate", "weight": ".weight"},
    {"mask": ".mask", "mask_options": ".diff_mask.mask_options"},
)
# The six masks that a gate's logits are over, in its order.
_MASKLLM_OPTIONS = np.array(
    [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]], bool
)
_MASKLLM_NIBBLES = (0x4, 0x8, 0xC, 0x9, 0xD, 0xE)


def decode_masked(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    """weight where the mask is not zero, +0 elsewhere."""
    weight, mask = parts["weight"], parts["mask"]
    if mask.shape != weight.shape:
        raise CheckpointError(f"the mask has shape {mask.shape}, the weight {weight.shape}")
    return _masked(weight, mask.astype(bool))


def decode_maskllm(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    """weight where the likeliest of the six masks has ones."""
    weight, gate = parts["weight"], parts["gate"]
    is_gate = gate.ndim >= 1 and gate.shape[-1] == 6 and gate.size * 4 == weight.size * 6
    if weight.ndim != 2 or not is_gate:
        raise CheckpointError(f"the gate has shape {gate.shape}, the weight {weight.shape}")
    best = gate.reshape(-1, 6).astype(np.float32).argmax(axis=1)
    return _masked(weight, _MASKLLM_OPTIONS[best].reshape(weight.shape))


def _masked(weight: Array, mask: Array) -> Decoded:
    dense = np.where(mask, weight, np.zeros((), weight.dtype))
    found = from_dense(dense)
    return dense if found is None else found


def _stored_places(weight: Weight) -> Array:
    """bool, in the parameter's shape: which places are stored."""
    if weight.pattern != "2:4" or weight.scale is not None:
        raise CheckpointError("masks are written for unscaled weights of pattern 2:4")
    groups = -(-weight.k // 4)
    nibbles = nibbles_of(weight.metadata, groups)
    mask = np.zeros((weight.rows, groups, 4), bool)
    for places in (nibbles & 3, nibbles >> 2):
        np.put_along_axis(mask, places[..., None].astype(np.intp), True, axis=-1)
    return mask.reshape(weight.rows, -1)[:, : weight.k].reshape(weight.shape)


def encode_asp(weight: Weight) -> dict[str, Array]:
    """The dense weight and a bool mask."""
    return {"weight": weight.to_dense(), "mask": _stored_places(weight)}


def encode_maskllm(weight: Weight) -> dict[str, Array]:
    """The dense weight, the mask, and a gate that chooses it."""
    mask = _stored_places(weight)
    if weight.k % 4:
        raise CheckpointError(f"K is {weight.k}; MaskLLM takes multiples of 4")
    nibbles = nibbles_of(weight.metadata, weight.k // 4).reshape(-1, 1)
    gate = (nibbles == np.array(_MASKLLM_NIBBLES)).astype(np.float32)
    return {"weight": weight.to_dense(), "gate": gate, "mask": mask.astype(np.float32)}


MASKS = [
    Format("asp", find_spelled(_ASP), decode_masked, encode_asp, _ASP),
    Format("modelopt", find_spelled(_MODELOPT), decode_masked, encode_asp, _MODELOPT),
    Format("maskllm", find_spelled(_MASKLLM), decode_maskllm, encode_maskllm, _MASKLLM),
]
