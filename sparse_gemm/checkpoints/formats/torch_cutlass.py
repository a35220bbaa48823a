"""torch's SparseSemiStructuredTensor: CUTLASS's order for sm_80, and what is said of cuSPARSELt's.

Parts: packed [R, K/2] and meta, words of 16 bits (floats) or 32 (int8) in the order of
docs/format.md, section 8. float32 is of pattern 1:2. The names are the class's own attributes, in
safetensors as in a file of torch.save's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sparse_gemm.checkpoints.errors import CheckpointError
from sparse_gemm.checkpoints.formats.base import (
    Context,
    Entry,
    Format,
    Spelling,
    find_spelled,
    param_of,
)
from sparse_gemm.checkpoints.places import canonical_weight, nibbles_of, require_matrix
from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.weight import Weight
from sparse_gemm.metadata_orders import from_cutlass_sm80, to_cutlass_sm80

__all__ = ["CUSPARSELT", "TORCH_CUTLASS"]

_DTYPES = ("float32", "float16", "bfloat16", "int8")
_SPELLING = Spelling({"packed": ".packed", "meta": ".meta"})


def _accepts(parts: dict[str, TensorInfo]) -> bool:
    return (parts["packed"].code, parts["meta"].code) in (
        ("F32", "I16"), ("F16", "I16"), ("BF16", "I16"), ("I8", "I32"),
    )  # fmt: skip


def decode_torch_cutlass(packed: Array, meta: Array) -> Weight:
    """packed [R, K/2] and meta [R, words] as torch keeps them -> the weight [R, K]."""
    rows, columns = require_matrix("packed", packed, _DTYPES)
    is_1_of_2 = packed.dtype == np.float32
    groups = columns if is_1_of_2 else columns // 2
    if meta.ndim != 2 or len(meta) != rows or meta.nbytes * 2 != rows * groups or not groups:
        raise CheckpointError(
            f"meta has shape {meta.shape} and dtype {meta.dtype}, which do not go with packed of "
            f"shape {packed.shape} and dtype {packed.dtype}"
        )
    nibbles = nibbles_of(from_cutlass_sm80(meta, packed.dtype), groups)
    return canonical_weight(packed, nibbles, pattern="1:2" if is_1_of_2 else "2:4")


def encode_torch_cutlass(weight: Weight) -> dict[str, Array]:
    """The inverse of `decode_torch_cutlass`, as parts."""
    if weight.scale is not None or len(weight.shape) != 2 or weight.dtype not in _DTYPES:
        raise CheckpointError(f"torch has no such form of {weight.dtype} with or without a scale")
    if (weight.dtype == "float32") != (weight.pattern == "1:2"):
        raise CheckpointError(f"torch has {weight.dtype} not as {weight.pattern}")
    try:
        meta = to_cutlass_sm80(weight.metadata, np.dtype(weight.dtype))
    except ValueError as error:  # the weight's extents
        raise CheckpointError(str(error)) from None
    return {"packed": weight.values, "meta": meta}


def _find_cusparselt(infos: Mapping[str, TensorInfo], context: Context) -> list[Entry]:
    return [
        Entry(param_of(param), {"packed": f"{param}.packed"})
        for param in context.classes
        if f"{param}.packed" in infos and f"{param}.meta" not in infos
    ]


def _refuse_cusparselt(parts: dict[str, Array], entry: Entry, context: Context) -> Weight:
    raise CheckpointError(
        "torch saved it by its cuSPARSELt backend, whose order of metadata is not documented and "
        "depends on the GPU: on a machine like the one that wrote it, load the file with torch, "
        f"replace the parameter by its to_dense() and save that; {entry.param} is then read as "
        "dense with zeros"
    )


TORCH_CUTLASS = Format(
    "torch-cutlass",
    find_spelled(_SPELLING, accepts=_accepts),
    lambda parts, entry, context: decode_torch_cutlass(parts["packed"], parts["meta"]),
    encode_torch_cutlass,
    _SPELLING,
)
CUSPARSELT = Format("torch-cusparselt", _find_cusparselt, _refuse_cusparselt)
