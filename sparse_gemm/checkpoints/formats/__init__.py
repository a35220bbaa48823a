"""One module a format family; here, all of them, in the order in which files are searched.

- `base`: what a format is, and how names are matched
- `scales`: the scales that several formats store beside their weights
- `ours`: this project's form          - `torch_cutlass`: SparseSemiStructuredTensor
- `cutlass_e`: CUTLASS 3.x's tensor E  - `bitmask`: compressed-tensors' two bitmask forms
- `marlin24`: marlin-24, two spellings - `masks`: ASP, ModelOpt, MaskLLM
- `sparsemma`                          - `dense`: dense with zeros
"""

from __future__ import annotations

from sparse_gemm.checkpoints.formats.base import Context, Decoded, Entry, Format
from sparse_gemm.checkpoints.formats.bitmask import SPARSE_24_BITMASK, SPARSE_BITMASK
from sparse_gemm.checkpoints.formats.cutlass_e import CUTLASS_E_FORMATS
from sparse_gemm.checkpoints.formats.dense import DENSE
from sparse_gemm.checkpoints.formats.marlin24 import GPTQ_MARLIN_24, MARLIN_24
from sparse_gemm.checkpoints.formats.masks import MASKS
from sparse_gemm.checkpoints.formats.ours import OURS
from sparse_gemm.checkpoints.formats.sparsemma import SPARSEMMA
from sparse_gemm.checkpoints.formats.torch_cutlass import CUSPARSELT, TORCH_CUTLASS

__all__ = ["FORMATS", "WRITABLE", "Context", "Decoded", "Entry", "Format"]

# Each takes the tensors it knows; what is left to the end may be dense with zeros.
FORMATS: tuple[Format, ...] = (
    OURS, CUSPARSELT, TORCH_CUTLASS, *CUTLASS_E_FORMATS, SPARSE_BITMASK, SPARSE_24_BITMASK,
    MARLIN_24, GPTQ_MARLIN_24, *MASKS, SPARSEMMA, DENSE,
)  # fmt: skip
WRITABLE: dict[str, Format] = {f.name: f for f in FORMATS if f.encode is not None}
