"""What this installation can do on this machine, and why it cannot do the rest."""

from __future__ import annotations

import importlib.metadata
import platform

import sparse_gemm
from sparse_gemm import _C
from sparse_gemm.arrays import available_threads

_ABSENT = "not installed"
_ISA_NEEDS = {
    "portable": "128-bit vectors of the compiler's own (SSE2 or NEON)",
    "avx2": "AVX2, FMA and F16C",
    "avx512": "AVX-512 F, BW, VL and DQ",
    "avx512_vnni": "AVX-512 with VBMI, VBMI2 and VNNI",
    "avx512_bf16": "the same and BF16",
}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return _ABSENT


def _version_of_cuda(number: int) -> str:
    """13000 -> "13.0", as the CUDA runtime counts."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _cuda_lines() -> list[str]:
    build, num_devices = _C.cuda_build(), _C.cuda_device_count()
    available = (
        f"available, {num_devices} device(s)"
        if num_devices
        else f"not available: {_C.cuda_unavailable_reason()}"
    )
    lines = [f"  cuda  {available}"]
    if build is not None:
        architectures = ", ".join(build["architectures"])
        lines.append(f"    built     nvcc {build['compiler']}, {build['runtime']} runtime")
        lines.append(f"    kernels   for {architectures}")
    for index in range(num_devices):
        device = _C.cuda_device(index)
        major, minor = device.capability
        lines.append(
            f"    device {index}  {device.name}, sm_{major}{minor}, {device.sm_count} SMs, "
            f"{device.memory_bytes / 2**30:.0f} GiB; "
            f"driver {_version_of_cuda(device.driver_version)}, "
            f"runtime {_version_of_cuda(device.runtime_version)}"
        )
    return lines


def _cupy_version() -> str:
    """CuPy's distributions are named for the CUDA that they were built with."""
    found = (_version(name) for name in ("cupy", "cupy-cuda12x", "cupy-cuda13x"))
    return next((version for version in found if version != _ABSENT), _ABSENT)


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
        lines.append(f"    {name:<12} {state}")
    lines += [
        *_cuda_lines(),
        "",
        "array libraries",
        f"  numpy      {_version('numpy')}",
        f"  ml_dtypes  {_version('ml_dtypes')}  (bfloat16, float8 and 4-bit NumPy arrays)",
        f"  torch      {_version('torch')}  (SparseLinear, sparsify, torch tensors)",
        f"  cupy       {_cupy_version()}  (CuPy arrays)",
    ]
    return "\n".join(lines)
