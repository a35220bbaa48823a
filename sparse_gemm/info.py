"""What this installation can do on this machine, and why it cannot do the rest."""

from __future__ import annotations

import importlib.metadata
import platform

import sparse_gemm
from sparse_gemm import _C
from sparse_gemm.arrays import available_threads

_ISA_NEEDS = {
    "portable": "128-bit vectors of the compiler's own (SSE2 or NEON)",
    "avx2": "AVX2, FMA and F16C",
    "avx512": "AVX-512 F, BW, VL and DQ",
}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def report() -> str:
    """A text for a person: versions, backends, instruction sets."""
    lines = [
        f"sparse_gemm {sparse_gemm.__version__} on {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "",
        "backends",
        f"  cpu   available, {available_threads()} thread(s); torch's own while torch is in use",
    ]
    current = _C.current_isa()
    for name, isa in _C.Isa.__members__.items():
        if isa == current:
            state = "in use"
        elif _C.isa_available(isa):
            state = "available"
        else:
            state = f"not available: this machine or this build lacks {_ISA_NEEDS[name]}"
        lines.append(f"    {name:<9} {state}")
    lines += [
        "  cuda  not available: this version has no CUDA kernels yet",
        "",
        "array libraries",
        f"  numpy      {_version('numpy')}",
        f"  ml_dtypes  {_version('ml_dtypes')}  (bfloat16, float8 and 4-bit NumPy arrays)",
        f"  torch      {_version('torch')}  (SparseLinear, sparsify, torch tensors)",
    ]
    return "\n".join(lines)
