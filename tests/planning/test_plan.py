"""plan on the CPU; the planner of devices is in test_planner.py."""

from __future__ import annotations

import pytest
from small_matrices import A, X, sparse

import sparse_gemm as sg
from sparse_gemm import _C


def test_plan_says_what_runs_and_tells_few_tokens_from_many() -> None:
    a = sg.compress(sparse(64, 64))
    few, many = sg.plan(a, 1), sg.plan(a, 512)
    assert few.kernel.startswith("row_dot")
    assert many.kernel.startswith("panel")
    assert few.a_bytes == a.nbytes
    assert many.multiply_adds == 64 * 512 * 32
    assert "row_dot" in str(few)
    assert few.why in str(few)


def test_plan_refuses_what_is_no_number_of_tokens() -> None:
    with pytest.raises(TypeError, match="tokens is 1.5; expected a whole number"):
        sg.plan(A, 1.5)
    with pytest.raises(ValueError, match="tokens is 4611686018427387904"):
        sg.plan(A, 2**62)
    with pytest.raises(TypeError, match="alpha is 'a'; expected a number"):
        sg.linear(X, A, alpha="a")
    with pytest.raises(ValueError, match="tokens is -1"):
        sg.plan(A, -1)


def test_few_rows_are_shared_out_too() -> None:
    dtype, pattern = _C.DType.float32, _C.Pattern.k2of4
    plan = _C.plan(64, 2048, 1024, dtype, dtype, pattern, dtype, _C.Isa.portable, 4)
    assert plan.num_threads == 4
