"""sparse_gemm: 2:4 structured-sparse matrices, compressed, and dense matrices times them.

    w = sparse_gemm.prune(dense)            # two of every four elements along K stay
    a = sparse_gemm.compress(w)             # values plus 2-bit metadata: 9/16 of 16-bit dense
    y = sparse_gemm.linear(x, a, bias, activation="gelu")
    q = sparse_gemm.quantize(w, "int4", group_size=128)  # for float16 and bfloat16 x

NumPy arrays, CuPy arrays and torch tensors go in, the same kind comes out. For torch models:

    layer = sparse_gemm.SparseLinear.from_linear(linear, prune=True)
    report = sparse_gemm.sparsify(model, prune=True)
    model = sparse_gemm.from_pretrained(folder)  # of transformers, from any format of 2:4 weights

For files of 2:4 models in any format: sparse_gemm.checkpoints.

Importing sparse_gemm does not import torch; the torch layer is loaded when first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sparse_gemm import _C, reference
from sparse_gemm.errors import SparsityError, UnsupportedError
from sparse_gemm.format.compression import check, compress, prune
from sparse_gemm.format.quantization import quantize
from sparse_gemm.format.tensor import Sparse24Tensor
from sparse_gemm.ops import linear, matmul
from sparse_gemm.planning.plans import Plan, plan
from sparse_gemm.planning.tuning import tune

if TYPE_CHECKING:
    from sparse_gemm import checkpoints
    from sparse_gemm.hf import from_pretrained
    from sparse_gemm.nn import SparseLinear, SparsifyReport, compressed_state_dict, sparsify

__version__: str = _C.__version__

__all__ = [
    "Plan",
    "Sparse24Tensor",
    "SparseLinear",
    "SparsifyReport",
    "SparsityError",
    "UnsupportedError",
    "__version__",
    "check",
    "checkpoints",
    "compress",
    "compressed_state_dict",
    "from_pretrained",
    "linear",
    "matmul",
    "plan",
    "prune",
    "quantize",
    "reference",
    "sparsify",
    "tune",
]

# Names that need torch, or torch and transformers, and their packages.
_LAZY_NAMES = {
    "SparseLinear": "sparse_gemm.nn",
    "SparsifyReport": "sparse_gemm.nn",
    "compressed_state_dict": "sparse_gemm.nn",
    "from_pretrained": "sparse_gemm.hf",
    "sparsify": "sparse_gemm.nn",
}


def __getattr__(name: str) -> Any:
    """Loads the torch layer or `checkpoints` when one of their names is first used."""
    if name == "checkpoints":
        return importlib.import_module("sparse_gemm.checkpoints")
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module 'sparse_gemm' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"sparse_gemm.{name} needs torch, which is not installed: "
            "pip install sparse_gemm[torch]"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
