"""The instruction sets of this machine, for tests that run on each."""

from __future__ import annotations

from sparse_gemm import _C

ISAS = [isa for isa in _C.Isa.__members__.values() if _C.isa_available(isa)]
