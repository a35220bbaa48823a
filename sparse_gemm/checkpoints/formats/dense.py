"""Dense weights with zeros: a parameter is compressed if its data are 2:4, whatever a config says.

Parts: weight, [M, K] or a stack [E, M, K]; beside 8-bit weights, their scale and zero point as
compressed-tensors names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch

import numpy as np

from sparse_gemm.checkpoints.formats.base import Context, Decoded, Entry, Format, Spelling, base_of
from sparse_gemm.checkpoints.formats.scales import scaled
from sparse_gemm.checkpoints.tensors import Array, TensorInfo
from sparse_gemm.checkpoints.weight import Weight, from_dense

__all__ = ["DENSE", "SKIPPED"]

_SPELLING = Spelling({"weight": ".weight"})
_FLOATS = ("F32", "F16", "BF16")
_8_BITS = ("I8", "F8_E4M3", "F8_E5M2")
_MIN_EXTENT = 8  # of M and K: smaller matrices are no layers

# Parameters that are looked up or added, not multiplied with: 2:4 or not, they stay dense.
SKIPPED = ("*embed*", "*wte.*", "*wpe.*", "*norm*", "*bias*")


def _find(infos: Mapping[str, TensorInfo], context: Context) -> Iterator[Entry]:
    for name, info in infos.items():
        is_matrix = len(info.shape) in (2, 3) and min(info.shape[-2:]) >= _MIN_EXTENT
        if not is_matrix or any(fnmatch(name.lower(), pattern) for pattern in context.skip):
            continue
        scales = {
            part: base_of(name) + suffix
            for part, suffix in (("scale", ".weight_scale"), ("zero_point", ".weight_zero_point"))
            if name.endswith(".weight") and base_of(name) + suffix in infos
        }
        if info.code in _FLOATS or (info.code in _8_BITS and name.endswith(".weight")):
            yield Entry(name, {"weight": name, **(scales if info.code in _8_BITS else {})})


def _decode(parts: dict[str, Array], entry: Entry, context: Context) -> Decoded:
    dense = parts["weight"]
    found = from_dense(dense)
    # A matrix of next to nothing but zeros was never pruned to 2:4: it waits to be filled.
    if found is not None and np.count_nonzero(found.values) * 8 < found.values.size:
        found = None
    weight = dense if found is None else found
    return scaled(weight, parts.get("scale"), parts.get("zero_point"), context)


def _encode(weight: Weight) -> dict[str, Array]:
    return {"weight": weight.to_dense()}


DENSE = Format("dense", _find, _decode, _encode, _SPELLING)
