"""`python -m sparse_gemm`: what it prints and how it exits; and what importing costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparse_gemm import _C, cli
from sparse_gemm.cli import selftest
from sparse_gemm.errors import SparsityError
from sparse_gemm.format import compression


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sparse_gemm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_info_names_every_instruction_set_and_the_one_in_use() -> None:
    done = run("info")
    assert done.returncode == 0, done.stderr
    for name in _C.Isa.__members__:
        assert name in done.stdout
    assert "in use" in done.stdout
    assert "cuda  not available" in done.stdout


def test_selftest_passes_here_and_lists_every_type() -> None:
    done = run("selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("float32", "float16", "bfloat16", "int8", "float8_e4m3fn", "float8_e5m2", "int4"):
        assert name in done.stdout
    for name in ("int8", "int4", "float8_e4m3fn", "float8_e5m2"):
        assert re.search(rf"weight-only +{name} +cpu {_C.current_isa().name} +ok", done.stdout)
    assert done.stdout.splitlines()[-1].endswith(" 0 failed")


def test_selftest_fails_where_scales_of_groups_are_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = selftest.ops.linear

    def wrong(x, a, *args, **keywords):  # type: ignore[no-untyped-def]
        y = right(x, a, *args, **keywords)
        return y * np.float32(1.001) if a.group_size is not None else y

    monkeypatch.setattr(selftest.ops, "linear", wrong)
    assert selftest.run(isa=_C.current_isa().name) == 1
    printed = capsys.readouterr().out
    assert "activations, group_size 64, N=1: off by" in printed
    assert printed.splitlines()[-1].endswith(" 4 failed")


def test_selftest_fails_with_exit_status_1_when_an_operation_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = compression.prune

    def wrong(w, *, pattern="2:4"):  # type: ignore[no-untyped-def]
        pruned = right(w, pattern=pattern)
        pruned[-1, -1] = 1
        return pruned

    monkeypatch.setattr(compression, "prune", wrong)
    assert selftest.run() == 1
    assert "prune differs" in capsys.readouterr().out


def test_selftest_reports_an_exception_as_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(w, **_):  # type: ignore[no-untyped-def]
        raise SparsityError("planted", row=0, group=0, values=())

    monkeypatch.setattr(compression, "compress", broken)
    assert selftest.run() == 1
    assert "SparsityError: planted" in capsys.readouterr().out


def test_an_unknown_instruction_set_or_command_is_bad_usage(tmp_path: Path) -> None:
    assert run("selftest", "--isa", "mmx").returncode == 2
    assert run("fly").returncode == 2
    assert run().returncode == 2


def test_draw_writes_the_figures(tmp_path: Path) -> None:
    assert cli.main(["draw", str(tmp_path / "figures")]) == 0
    assert any(path.suffix == ".svg" for path in (tmp_path / "figures").iterdir())


def test_a_reader_that_has_gone_is_not_taken_for_success() -> None:
    command = [sys.executable, "-m", "sparse_gemm", "info"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141  # 128 + SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_draw_into_a_file_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["draw", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("draw: ")


def test_importing_the_package_imports_neither_torch_nor_cupy() -> None:
    code = "import sparse_gemm, sys; assert not {'torch', 'cupy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_torch_names_are_there_without_torch_being_loaded_first() -> None:
    code = "import sparse_gemm as sg; print(sg.SparseLinear.__name__, sg.sparsify.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["SparseLinear", "sparsify"]


def test_without_torch_its_names_say_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import sparse_gemm as sg\n"
        "try: sg.SparseLinear\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install sparse_gemm[torch]" in done.stdout
