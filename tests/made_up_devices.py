"""Devices that are made up, and a problem of each type: what plans are tested with."""

from __future__ import annotations

from typing import Any

from benchmarks.kernel_table import layers
from sparse_gemm import _C
from sparse_gemm.planning.plans import Problem

D = _C.DType
P = _C.Pattern
KIB, MIB = 1 << 10, 1 << 20

A100, RTX_4090, H100 = (layers.DEVICES[name] for name in ("A100", "RTX 4090", "H100"))
RTX_3090 = _C.CudaProps(
    name="NVIDIA GeForce RTX 3090",
    capability=(8, 6),
    sm_count=82,
    shared_memory_per_block=99 * KIB,
    shared_memory_per_sm=100 * KIB,
    l2_bytes=6 * MIB,
    max_threads_per_sm=1536,
)
RTX_5090 = _C.CudaProps(
    name="NVIDIA GeForce RTX 5090",
    capability=(12, 0),
    sm_count=170,
    shared_memory_per_block=99 * KIB,
    shared_memory_per_sm=100 * KIB,
    l2_bytes=96 * MIB,
    max_threads_per_sm=1536,
)
B200 = _C.CudaProps(
    name="NVIDIA B200",
    capability=(10, 0),
    sm_count=148,
    shared_memory_per_block=227 * KIB,
    shared_memory_per_sm=228 * KIB,
    l2_bytes=126 * MIB,
)
DEVICES = [A100, H100, RTX_4090, RTX_3090, RTX_5090]

# Of each Multiply: A's type, B's, the pattern, D's, what else there is to say.
TYPES: dict[str, tuple[Any, ...]] = {
    "f16": (D.float16, D.float16, P.k2of4, D.float16),
    "bf16": (D.bfloat16, D.bfloat16, P.k2of4, D.bfloat16),
    "f16_acc_f16": (D.float16, D.float16, P.k2of4, D.float16, 1, 0, True),
    "tf32": (D.float32, D.float32, P.k1of2, D.float32),
    "s8": (D.int8, D.int8, P.k2of4, D.int32),
    "s4": (D.int4, D.int4, P.k4of8, D.int32),
    "e4m3": (D.float8_e4m3fn, D.float8_e4m3fn, P.k2of4, D.bfloat16),
    "e4m3_e5m2": (D.float8_e4m3fn, D.float8_e5m2, P.k2of4, D.bfloat16),
    "e5m2_e4m3": (D.float8_e5m2, D.float8_e4m3fn, P.k2of4, D.bfloat16),
    "e5m2": (D.float8_e5m2, D.float8_e5m2, P.k2of4, D.bfloat16),
    "s8_f16": (D.int8, D.float16, P.k2of4, D.float16),
    "s8_bf16": (D.int8, D.bfloat16, P.k2of4, D.bfloat16),
    "e4m3_f16": (D.float8_e4m3fn, D.float16, P.k2of4, D.float16),
    "e4m3_bf16": (D.float8_e4m3fn, D.bfloat16, P.k2of4, D.bfloat16),
    "e5m2_f16": (D.float8_e5m2, D.float16, P.k2of4, D.float16),
    "e5m2_bf16": (D.float8_e5m2, D.bfloat16, P.k2of4, D.bfloat16),
    "s4_f16": (D.int4, D.float16, P.k2of4, D.float16, 1, 128),
    "s4_bf16": (D.int4, D.bfloat16, P.k2of4, D.bfloat16, 1, 32),
}


def problem(m: int, n: int, k: int, types: str = "f16") -> Problem:
    return Problem(m, n, k, *TYPES[types])


def plan(props: _C.CudaProps, m: int, n: int, k: int, types: str = "f16") -> _C.CudaPlan:
    return _C.cuda_plan(props, *problem(m, n, k, types))


def candidates(
    props: _C.CudaProps, m: int, n: int, k: int, types: str = "f16"
) -> list[_C.CudaPlan]:
    return _C.cuda_candidates(props, *problem(m, n, k, types))
