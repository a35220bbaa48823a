"""tune, on a GPU or on the emulator, whose times mean nothing: it measures, checks, keeps."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_arrays import Library

import sparse_gemm as sg
from sparse_gemm import _C
from sparse_gemm.planning import tuned_choices, tuning

M, K = 100, 256


@pytest.fixture(autouse=True)
def _own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SPARSE_GEMM_CACHE", str(tmp_path))
    monkeypatch.setattr(tuning, "_MAX_CANDIDATES", 3)
    monkeypatch.setattr(tuning, "_NUM_TIMES", 2)
    yield
    _C.cuda_clear_tuned()


def matrix(library: Library, dtype: Any = np.float16) -> sg.Sparse24Tensor:
    w = np.random.default_rng(5).integers(-3, 4, (M, K)).astype(dtype)
    return sg.compress(library.put(w), policy="prune", backend=library.backend)


def test_what_tune_finds_is_what_later_calls_run(library: Library) -> None:
    a = matrix(library)
    assert not sg.plan(a, 5).is_tuned  # type: ignore[attr-defined]
    found = sg.tune(a, (1, 5), progress=False)
    assert [one.tokens for one in found] == [1, 5]
    for one in found:
        assert 1 <= one.num_candidates <= 3
        assert 0 < one.microseconds <= one.default_microseconds
        assert one.wrong == ()
        for tokens in {1: (1,), 5: (5, 6, 8)}[one.tokens]:
            plan: Any = sg.plan(a, tokens)
            assert plan.is_tuned
            assert (plan.kernel, plan.schedule) == (one.kernel, one.schedule)
            assert "measured by tune" in str(plan)
    for tokens in (2, 9):
        assert not sg.plan(a, tokens).is_tuned  # type: ignore[attr-defined]
    x = np.random.default_rng(6).integers(-3, 4, (5, K)).astype(np.float16)
    y = library.get(sg.linear(library.put(x), a, backend=library.backend))
    dense = library.get(a.to_dense()).astype(np.float32)
    assert (y == (x.astype(np.float32) @ dense.T).astype(np.float16)).all()


def test_another_process_would_read_the_same(library: Library) -> None:
    a = matrix(library, np.int8)
    (found,) = sg.tune(a, (16,), progress=False)
    _C.cuda_clear_tuned()  # as in a process that has just begun
    assert not sg.plan(a, 16).is_tuned  # type: ignore[attr-defined]
    tuned_choices.load(a._cuda)
    plan: Any = sg.plan(a, 16)
    assert plan.is_tuned
    assert (plan.kernel, plan.schedule) == (found.kernel, found.schedule)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_kernel_that_is_wrong_is_never_chosen(
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seed: int,
) -> None:
    linear = tuning.linear
    broken = seed  # the candidate whose results come out wrong

    def wrong_linear(x: Any, a: Any, terms: Any, options: Any) -> Any:
        y = linear(x, a, terms, options)
        if options.out is None:
            calls.append(1)
            if len(calls) == 1 + broken:
                y[0, 0] += 1
        return y

    calls: list[int] = []
    monkeypatch.setattr(tuning, "linear", wrong_linear)
    a = matrix(library)
    (found,) = sg.tune(a, (16,), progress=False)
    assert len(found.wrong) == 1
    assert "a wrong result, never chosen" in caplog.text
    candidates = _C.cuda_candidates(a._cuda, *tuning.problem_of(a, 16, None, None, None))
    bad = candidates[broken]
    assert found.wrong == (bad.kernel,)
    chosen = (found.kernel, found.schedule, found.num_ctas)
    assert chosen != (bad.kernel, bad.schedule, bad.num_ctas)


def test_weight_only_types_are_tuned(device: Library) -> None:
    w = np.random.default_rng(5).standard_normal((M, K)).astype(np.float16)
    for dtype, group_size in (("int8", None), ("int4", 64)):
        a = sg.quantize(device.put(w), dtype, group_size=group_size, prune=True)
        if a._cuda < 0:  # an emulated device's arrays are the host's
            scale = a.scale
            a = sg.Sparse24Tensor(
                a.values,
                a.metadata,
                a.shape,
                scale=scale,
                group_size=group_size,
                backend=device.backend,
            )
        (found,) = sg.tune(a, (3,), x_dtype="float16", progress=False)
        assert found.wrong == ()


def test_where_nothing_can_be_kept_the_choice_is_the_processs(
    device: Library, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(tuned_choices, "write", refuse)
    a = matrix(device)
    with caplog.at_level(logging.WARNING, "sparse_gemm"):
        sg.tune(a, (16,), progress=False)
    assert "for this process alone: read-only" in caplog.text
    assert sg.plan(a, 16).is_tuned  # type: ignore[attr-defined]


ANOTHER = """
import numpy as np
import sparse_gemm as sg
from sparse_gemm import _C
from sparse_gemm.planning import tuned_choices
loaded = []
load = tuned_choices.load
tuned_choices.load = lambda device: (loaded.append(device), load(device))
a = sg.compress(np.ones(({m}, {k}), np.float16), policy="prune", backend="cuda")
assert loaded == []
if {call}:
    try:
        sg.linear(np.ones((16, {k}), np.float16), a, backend="cuda")
    except RuntimeError as error:  # memory that nobody has registered with the emulator
        print(error)
plan = sg.plan(a, 16)
assert loaded == [0], loaded
print(plan.is_tuned, plan.kernel, plan.schedule)
"""


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("call", [False, True], ids=["plan", "linear"])
def test_the_first_plan_of_a_process_reads_the_file(device: Library, call: bool) -> None:
    (found,) = sg.tune(matrix(device), (16,), progress=False)
    script = ANOTHER.format(m=M, k=K, call=call)
    environment = {**os.environ, "EMULATOR_FINDINGS": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"True {found.kernel} {found.schedule}"


def test_the_file_says_what_was_found(device: Library) -> None:
    a = matrix(device)
    (found,) = sg.tune(a, (16,), progress=False)
    section = tuned_choices.section_of(_C.cuda_device(a._cuda))
    ((key, choice),) = tuned_choices.read(section).items()
    assert choice == (found.kernel, found.schedule, found.num_ctas, found.microseconds)
    assert (key.m, key.n, key.k, key.multiply) == (M, 16, K, "f16")
