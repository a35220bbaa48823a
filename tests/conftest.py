"""Fixtures of more than one folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from isas import ISAS

from sparse_gemm import _C


@pytest.fixture(params=ISAS, ids=lambda isa: isa.name)
def isa(request: pytest.FixtureRequest) -> Iterator[_C.Isa]:
    """Each instruction set of this machine, in use."""
    before = _C.current_isa()
    assert _C.set_isa(request.param)
    yield request.param
    _C.set_isa(before)
