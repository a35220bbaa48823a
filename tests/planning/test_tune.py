"""The file of tuned choices: what is kept, for whom, and what becomes of it when it is damaged.

That `tune` measures and checks is in tests/kernels/test_cuda_tune.py.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparse_gemm as sg
from sparse_gemm import _C, cli
from sparse_gemm.planning import tuned_choices
from sparse_gemm.planning.tuned_choices import Choice, Key

KEY = Key("f16", "aligned", "float16", False, 0, 4096, 16, 4096, 1)
CHOICE = Choice("sm80_64x16", "split", 108, 12.5)
SECTION = "NVIDIA Made Up | driver 13000 | sparse_gemm 0.1.0"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SPARSE_GEMM_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    _C.cuda_clear_tuned()


def write_file(folder: Path, content: object) -> None:
    folder.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "tuned.json").write_text(text)


def entry(**changes: Any) -> dict[str, Any]:
    return {**KEY._asdict(), **CHOICE._asdict(), **changes}


def test_what_is_written_is_read() -> None:
    other = KEY._replace(n=1)
    tuned_choices.write(SECTION, {KEY: CHOICE})
    tuned_choices.write(SECTION, {other: CHOICE._replace(num_ctas=5)})
    tuned_choices.write("another device", {KEY: CHOICE._replace(kernel="another")})
    assert tuned_choices.read(SECTION) == {KEY: CHOICE, other: CHOICE._replace(num_ctas=5)}
    tuned_choices.write(SECTION, {KEY: CHOICE._replace(schedule="whole")})
    assert tuned_choices.read(SECTION)[KEY].schedule == "whole"
    assert tuned_choices.read("a device never seen") == {}


def test_without_a_file_nothing_is_known_and_nothing_is_said(
    caplog: pytest.LogCaptureFixture, folder: Path
) -> None:
    assert tuned_choices.read(SECTION) == {}
    assert not caplog.records
    assert not folder.exists()


@pytest.mark.parametrize("tokens", range(1, 40))
def test_buckets_are_the_extensions_own(tokens: int) -> None:
    bucket = tuned_choices.bucket(tokens)
    assert bucket >= tokens
    assert bucket & (bucket - 1) == 0
    assert bucket < 2 * tokens


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPARSE_GEMM_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tuned_choices.path() == tmp_path / "sparse_gemm" / "tuned.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert tuned_choices.path() == Path.home() / ".cache" / "sparse_gemm" / "tuned.json"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "\udcff not UTF-8".encode("utf-8", "surrogateescape").decode("latin-1"),
        {"format": 1},
        {"format": 1, "sections": []},
        {"format": 99, "sections": {}},
        "[" * 100_000,
    ],
    ids=["empty", "cut", "list", "null", "text", "bytes", "short", "sections", "version", "deep"],
)
def test_a_damaged_file_is_ignored_with_a_warning_and_then_replaced(
    folder: Path, caplog: pytest.LogCaptureFixture, content: object
) -> None:
    write_file(folder, content)
    assert tuned_choices.read(SECTION) == {}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(tuned_choices.path()) in caplog.text
    tuned_choices.write(SECTION, {KEY: CHOICE})
    assert tuned_choices.read(SECTION) == {KEY: CHOICE}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {},
        entry(num_ctas="many"),
        entry(m=-1),
        entry(n=True),
        entry(kernel=None),
        entry(schedule="by hand"),
        entry(d_dtype="float7"),
        entry(b_load="by post"),
        entry(is_batched=0),
    ],
    ids=str,
)
def test_a_damaged_entry_is_ignored_and_the_others_are_not(
    folder: Path, caplog: pytest.LogCaptureFixture, bad: object
) -> None:
    good = entry(m=64)
    write_file(folder, {"format": 1, "sections": {SECTION: [bad, good]}})
    assert tuned_choices.read(SECTION) == {KEY._replace(m=64): CHOICE}
    assert "damaged" in caplog.text


def test_a_section_that_is_no_list_is_empty(folder: Path) -> None:
    write_file(folder, {"format": 1, "sections": {SECTION: {"kernel": "sm80_64x16"}}})
    assert tuned_choices.read(SECTION) == {}


WRITER = """
import sys
from sparse_gemm.planning import tuned_choices
from sparse_gemm.planning.tuned_choices import Choice, Key
process = int(sys.argv[1])
for i in range(20):
    key = Key("f16", "aligned", "float16", False, 0, 1 + process, 1, 1 + i, 1)
    tuned_choices.write("shared", {key: Choice("sm80_64x16", "whole", process, float(i))})
    found = tuned_choices.read("shared")
    assert all(Key("f16", "aligned", "float16", False, 0, 1 + process, 1, 1 + j, 1) in found
               for j in range(i + 1)), "an earlier choice is gone"
"""


def test_processes_that_write_at_once_lose_nothing(caplog: pytest.LogCaptureFixture) -> None:
    num = 4
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(i)]) for i in range(num)]
    for _ in range(20):  # a reader sees whole files
        tuned_choices.read("shared")
    assert [writer.wait() for writer in writers] == [0] * num
    assert len(tuned_choices.read("shared")) == num * 20
    assert not caplog.records
    left = {path.name for path in tuned_choices.path().parent.iterdir()}
    assert left == {"tuned.json", "tuned.lock"}


# ------------------------------------------------------------------------------- read for a device

PROPS = _C.CudaProps(name="NVIDIA Made Up", driver_version=13000)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(_C, "cuda_device", lambda _: PROPS)
    monkeypatch.setattr(_C, "cuda_set_tuned", lambda *arguments: calls.append(arguments))
    return calls


def test_a_devices_choices_are_applied(applied: list[tuple[Any, ...]]) -> None:
    tuned_choices.write(tuned_choices.section_of(PROPS), {KEY: CHOICE})
    tuned_choices.write("NVIDIA Made Up | driver 12080 | sparse_gemm 0.1.0", {KEY: CHOICE})
    tuned_choices.load(3)
    float16 = _C.DType.float16
    key = ("f16", "aligned", float16, False, 0, 4096, 16, 4096, 1)
    assert applied == [(3, *key, "sm80_64x16", "split", 108)]


def test_sections_tell_devices_drivers_and_versions_apart() -> None:
    sections = {
        tuned_choices.section_of(_C.CudaProps(name=name, driver_version=driver))
        for name in ("a", "b")
        for driver in (12080, 13000)
    }
    assert len(sections) == 4
    assert all(_C.__version__ in section for section in sections)


@pytest.mark.parametrize(
    "key", [KEY, KEY._replace(multiply="f13"), KEY._replace(multiply="s4")], ids=str
)
def test_a_choice_whose_kernel_is_gone_is_ignored_with_a_warning(
    applied: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture, key: Key
) -> None:
    gone = CHOICE._replace(kernel="sm80_3x5")
    tuned_choices.write(tuned_choices.section_of(PROPS), {key: gone})
    tuned_choices.load(0)
    assert applied == []
    assert "sm80_3x5 was chosen" in caplog.text
    assert "run sparse_gemm.tune again" in caplog.text


def test_the_extension_refuses_what_names_nothing() -> None:
    arguments = (0, "f16", "aligned", _C.DType.float16, False, 0, 1, 1, 1, 1, "sm80_64x16")
    _C.cuda_set_tuned(*arguments, "whole", 1)
    for wrong in ((1, "f13"), (2, "by post")):
        changed = [*arguments]
        changed[wrong[0]] = wrong[1]
        with pytest.raises(ValueError, match="names no value"):
            _C.cuda_set_tuned(*changed, "whole", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="names no value"):
        _C.cuda_set_tuned(*arguments, "by hand", 1)


# ----------------------------------------------------------------------------------- without a GPU

needs_no_device = pytest.mark.skipif(_C.cuda_device_count() > 0, reason="there is a CUDA device")


def test_tune_refuses_what_is_on_the_cpu() -> None:
    a = sg.compress(np.ones((8, 16), np.float32), policy="prune")
    with pytest.raises(sg.UnsupportedError, match="a is on cpu, .* nothing to tune"):
        sg.tune(a)
    with pytest.raises(ValueError, match="tokens has 0"):
        sg.tune(a, (1, 0))
    with pytest.raises(TypeError, match="tokens is 'x'"):
        sg.tune(a, ["x"])  # type: ignore[list-item]


@needs_no_device
def test_the_command_says_why_it_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", "64", "64"]) == 2
    assert _C.cuda_unavailable_reason() in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dtype", "fp16"), "tune: dtype is 'fp16'; expected one of float32, float16, "),
        (("--dtype", "int32"), "tune: dtype is 'int32'; expected one of "),
        (("--dtype", "int8", "--pattern", "4:8"), "expected one of int4, uint4, for pattern 4:8"),
        (("--pattern", "3:4"), "tune: pattern is '3:4'; expected one of 2:4"),
    ],
    ids=str,
)
def test_the_command_names_the_types_that_there_are(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tune", "64", "64", *arguments]) == 2
    assert message in capsys.readouterr().err
