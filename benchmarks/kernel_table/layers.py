"""The shapes and devices that figures are predicted for."""

from __future__ import annotations

from sparse_gemm import _C
from sparse_gemm.bench import shapes

_KIB, _MIB = 1 << 10, 1 << 20

# Rates that are not named here are those of the capability (csrc/core/device_rates.cpp).
DEVICES = {
    "A100": _C.CudaProps(name="NVIDIA A100-SXM4-80GB"),
    "RTX 4090": _C.CudaProps(
        name="NVIDIA GeForce RTX 4090",
        capability=(8, 9),
        sm_count=128,
        shared_memory_per_block=99 * _KIB,
        shared_memory_per_sm=100 * _KIB,
        l2_bytes=72 * _MIB,
        max_threads_per_sm=1536,
    ),
    "H100": _C.CudaProps(
        name="NVIDIA H100 80GB HBM3",
        capability=(9, 0),
        sm_count=132,
        shared_memory_per_block=227 * _KIB,
        shared_memory_per_sm=228 * _KIB,
        l2_bytes=50 * _MIB,
    ),
}


MODELS = {name: shapes.MODELS[name] for name in ("Llama-3-8B", "Llama-3-70B", "Qwen2.5-7B")}
TOKENS = tuple(2**i for i in range(13))  # 1 to 4096
