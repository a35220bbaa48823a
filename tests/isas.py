"""The instruction sets of this machine, for tests that run on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sparse_gemm import _C

ISAS = [isa for isa in _C.Isa.__members__.values() if _C.isa_available(isa)]


class Core(NamedTuple):
    """What the planner goes by: an instruction set, and whose core has it."""

    isa: _C.Isa
    is_intel: bool

    @property
    def name(self) -> str:
        return f"{self.isa.name}-intel" if self.is_intel else self.isa.name


# Every kernel is some core's: those of int8 differ between makers, and Intel's cores multiply
# bfloat16 as avx512 does.
CORES = [Core(isa, False) for isa in ISAS]
CORES += [Core(isa, True) for isa in ISAS if isa == _C.Isa.avx512_vnni]


@contextmanager
def in_use(isa: _C.Isa, is_intel: bool = False) -> Iterator[None]:
    """The kernels of a core in use, whatever this machine's is."""
    before, was_intel = _C.current_isa(), _C.intel_core()
    assert _C.set_isa(isa)
    _C.set_intel_core(is_intel)
    try:
        yield
    finally:
        _C.set_intel_core(was_intel)
        _C.set_isa(before)
