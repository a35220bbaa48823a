"""Names that results and their readers share: of ways, and of types.

Like `timing`, `sampler`, `shapes`, `cases`, `peaks`, `document` and `tables`, this imports neither
torch nor the extension: gpu-check reads them before either is there.
"""

from __future__ import annotations

OURS = "sparse_gemm"

CPU_TYPES = ("bfloat16", "float16", "float32", "int8")
CUDA_TYPES = ("float16", "bfloat16", "tf32", "int8", "float8_e4m3fn", "int8_weight", "int4_weight")

# What the tensor cores multiply, where it has another name than the type of a record.
MACHINE_TYPES = {
    "tf32": "tfloat32",
    "float8_e4m3fn": "float8_e4m3",
    "int8_weight": "float16",
    "int4_weight": "float16",
}
