"""The package on the emulated device: what the kernel cases of tests/kernels do for themselves."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from sparse_gemm import _C

KERNEL_CASES = Path(__file__).parents[2] / "tests" / "kernels"


def install_if_emulated() -> bool:
    """Makes the helpers of tests/kernels importable; on the emulator, gives it host arrays."""
    if str(KERNEL_CASES) not in sys.path:
        sys.path.append(str(KERNEL_CASES))
    emulated = _C.cuda_device_count() > 0 and _C.cuda_device(0).emulated
    if emulated:
        importlib.import_module("emulated_memory").EmulatedDevice().install()
    return emulated
