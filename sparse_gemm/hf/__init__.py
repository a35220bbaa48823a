"""hf: Hugging Face transformers models whose weights stay 2:4, from any checkpoint.

    model = sparse_gemm.from_pretrained(folder)  # any format that sparse_gemm.checkpoints reads

Importing this package makes transformers know `quant_method: sparse_gemm`, so that

    import sparse_gemm.hf
    model = AutoModelForCausalLM.from_pretrained(converted_folder)

gives the same. Either way the model is built on the meta device, and each 2:4 weight goes from the
file into its layer without ever being dense in memory.

The modules, each of which uses only those above it:
- `mapping`: which of a checkpoint's parameters make which of the model's (transformers' own rules)
- `experts`: mixtures of experts whose weights are stacks of compressed matrices
- `matrices`: a target's weight, put together from its sources; a layer around it
- `loader`: takes weights out of a model before transformers fills it, and puts layers in after
- `saving`: the state dict and header for save_pretrained
- `quantizer`: what transformers calls; `pretrained`: from_pretrained
"""

from __future__ import annotations

try:
    import transformers as _transformers
except ModuleNotFoundError as error:
    raise ImportError(
        "sparse_gemm.hf needs transformers, which is not installed: "
        "pip install sparse_gemm[transformers]"
    ) from error

from sparse_gemm.hf.experts import ExpertStack
from sparse_gemm.hf.pretrained import from_pretrained
from sparse_gemm.hf.quantizer import SparseGemmConfig, SparseGemmQuantizer

__all__ = ["ExpertStack", "SparseGemmConfig", "SparseGemmQuantizer", "from_pretrained"]

del _transformers
