"""torch layers: SparseLinear, and sparsify, which puts it into a model. Needs torch.

`linear` is the layer, `storage` the buffers of its weight, `quantized` what differs for quantised
ones, `state_dicts` how it is saved and loaded; `swap` replaces the layers of a model.
"""

from __future__ import annotations

from sparse_gemm.nn.linear import SparseLinear
from sparse_gemm.nn.state_dicts import compressed_state_dict
from sparse_gemm.nn.swap import SparsifyEntry, SparsifyReport, sparsify

__all__ = [
    "SparseLinear",
    "SparsifyEntry",
    "SparsifyReport",
    "compressed_state_dict",
    "sparsify",
]
