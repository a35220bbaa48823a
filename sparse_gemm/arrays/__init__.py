"""Array libraries: the only room that tells NumPy, torch and CuPy apart.

`kinds` is one table of functions for each library and `lookup` finds an array's; what both offer is
re-exported here. `devices` picks backend, device and stream of a call; `workspace` is the memory a
call needs for itself; `torch_state` (it imports torch) is what torch is about just now.
"""

from __future__ import annotations

from sparse_gemm.arrays.kinds import NUMPY_DTYPES, Array, ArrayKind, available_threads
from sparse_gemm.arrays.lookup import adopted, kind_of, require_same_kind

__all__ = [
    "NUMPY_DTYPES",
    "Array",
    "ArrayKind",
    "adopted",
    "available_threads",
    "kind_of",
    "require_same_kind",
]
