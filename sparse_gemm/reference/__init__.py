"""The reference implementation, in NumPy alone: slow, obvious, and what the rest is held against.

`matrices` has the format and the products, `bits` the packing of small numbers, `arithmetic` what
is done around a product. `docs/format.md` is the same thing in words.
"""

from __future__ import annotations

from sparse_gemm.reference.matrices import (
    PATTERNS,
    Compressed,
    check,
    check_metadata,
    compress,
    decompress,
    linear,
    matmul,
    prune,
)

__all__ = ["PATTERNS", "Compressed", "check", "check_metadata", "compress", "decompress"]
__all__ += ["linear", "matmul", "prune"]
