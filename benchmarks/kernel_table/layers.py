"""The shapes and devices that figures are predicted for."""

from __future__ import annotations

from typing import NamedTuple

from sparse_gemm import _C

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


class Layer(NamedTuple):
    """A linear layer of a model."""

    m: int  # out_features
    k: int  # in_features

    @property
    def name(self) -> str:
        """As plans are told of."""
        return f"{self.m}x{self.k}"


# The linear layers of one block of each, every shape once, and the one to the vocabulary.
MODELS = {
    "Llama-3-8B": (
        *(Layer(4096, 4096), Layer(1024, 4096), Layer(14336, 4096), Layer(4096, 14336)),
        Layer(128256, 4096),
    ),
    "Llama-3-70B": (
        *(Layer(8192, 8192), Layer(1024, 8192), Layer(28672, 8192), Layer(8192, 28672)),
        Layer(128256, 8192),
    ),
    "Qwen2.5-7B": (
        *(Layer(3584, 3584), Layer(512, 3584), Layer(18944, 3584), Layer(3584, 18944)),
        Layer(152064, 3584),
    ),
}
TOKENS = tuple(2**i for i in range(13))  # 1 to 4096
