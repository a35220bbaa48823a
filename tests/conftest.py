"""Fixtures of more than one folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from isas import CORES, in_use

from sparse_gemm import _C


@pytest.fixture(params=CORES, ids=lambda core: core.name)
def isa(request: pytest.FixtureRequest) -> Iterator[_C.Isa]:
    """Each instruction set of this machine, in use on each maker's cores where they differ."""
    with in_use(*request.param):
        yield request.param.isa
