"""The instruction sets of this machine, for tests that run on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sparse_gemm import _C

ISAS = [isa for isa in _C.Isa.__members__.values() if _C.isa_available(isa)]


@contextmanager
def in_use(isa: _C.Isa) -> Iterator[None]:
    """Kernels of `isa` in use, its dot products of bfloat16 on every core."""
    before, slow = _C.current_isa(), _C.intel_core()
    assert _C.set_isa(isa)
    _C.set_intel_core(False)
    try:
        yield
    finally:
        _C.set_intel_core(slow)
        _C.set_isa(before)
